"""As many requests as one Envoy takes, by wrk, and what each of them costs it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from envoys import Envoy
from harness import HOST, BenchmarkError, command, processors


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent, and the status that every answer must have."""

    expected: int = 200
    path: str = "/orders/7"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the load."""

    rate: float
    """Requests a second."""
    cpu_us: float
    """Processor time of the Envoy for each request, in microseconds."""
    p50_ms: float
    p99_ms: float
    total: int
    """Requests."""


def wrk() -> str:
    """The program. Raises when it is not installed."""
    return command("wrk", "install it with: apt-get install wrk")


def run(envoy: Envoy, load: Load, seconds: float, connections: int) -> Measured:
    """Load one Envoy as fast as it goes. Raises unless every answer is the expected one."""
    envoy.started.alive()
    headers = [part for key, value in load.headers.items() for part in ("-H", f"{key}: {value}")]
    call = [wrk(), "--latency", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", *headers]
    before = envoy.started.cpu_seconds()
    done = subprocess.run(
        [*call, f"http://{HOST}:{envoy.port}{load.path}"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        preexec_fn=_beside,
        check=False,
    )
    return _read(done.stdout + done.stderr, envoy.started.cpu_seconds() - before, envoy, load)


def _beside() -> None:
    rest = processors()[1]
    if rest is not None:
        os.sched_setaffinity(0, {rest})


def _read(text: str, cpu: float, envoy: Envoy, load: Load) -> Measured:
    """What wrk printed, as figures."""

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        if found is None:
            raise BenchmarkError(f"wrk printed what is not understood:\n{text}")
        return float(found[1])

    total = int(number(r"(\d+) requests in"))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = int(refused[1]) if refused else 0
    if not total or "Socket errors" in text or failed != (total if load.expected >= 400 else 0):
        raise BenchmarkError(f"{envoy.name} did not answer as it was to:\n{text}")
    rate = number(r"Requests/sec:\s+([\d.]+)")
    return Measured(rate, cpu / total * 1e6, _milliseconds(text, 50), _milliseconds(text, 99), total)


def _milliseconds(text: str, share: int) -> float:
    found = re.search(rf"\s{share}%\s+([\d.]+)(us|ms|s)", text)
    if found is None:
        raise BenchmarkError(f"wrk printed no latency:\n{text}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
