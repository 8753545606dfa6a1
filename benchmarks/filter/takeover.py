"""Ten thousand new rules: what the thread that leads spends on parsing and compiling them, and what a worker spends.

In the real module, by the processor time of Envoy's threads while nothing else goes on; and natively, by the engine's
own benchmark.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import HOST, BenchmarkError, fetch
from report import shown, spread, table
from targets import Row, at_most

from filter.setting import Setting
from filter.source import Handle

NAMES = ("compile", "compile-native", "takeover")
MOST_MS = 100
WORKER = "wrk:worker_0"
#: What the filter itself says of taking over what was compiled, in microseconds, a value for each VM.
HISTOGRAM = "wasmcustom.hfi.takeover_us"
#: For every VM to have followed, and Envoy to be idle again.
REST_SECONDS = 0.5
_WORKSPACE = Path(__file__).resolve().parents[2] / "wasm_filter"
#: Criterion's name for it (wasm_filter/engine/benches/rules.rs).
_NATIVE = "compile/anew"
_UNITS = {"ns": 1e-6, "µs": 1e-3, "us": 1e-3, "ms": 1.0, "s": 1e3}


class Takeover:
    """An Envoy without traffic, and a source that replaces all its rules."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._rules: int = setting.options.rules
        self._leading: list[float] = []
        self._leaders: set[str] = set()
        self._worker: list[float] = []
        self._until_parsed: list[float] = []
        # First, since it can fail: not after all the others have been measured.
        self._native = native(self._rules) if "compile-native" in wanted else []
        if wanted & {"compile", "takeover"}:
            self._source = Handle(setting.bench, "takeover-source", setting.rest)
            self._envoy = setting.hfi("takeover", http=self._source.port)
            # The first one grows the VMs' memory, which later ones find grown.
            self._replace()

    def _replace(self) -> tuple[dict[str, float], float]:
        """All rules, once: processor time by thread, and the time until the filter has parsed them (ms)."""
        before, began = self._envoy.started.thread_seconds(), time.perf_counter()
        version = self._source.publish(self._rules)
        self._source.taken(version)
        until = time.perf_counter() - began
        time.sleep(REST_SECONDS)
        after = self._envoy.started.thread_seconds()
        self._envoy.sees_version(version)
        return {name: (after[name] - before.get(name, 0.0)) * 1000 for name in after}, until * 1000

    def round(self, number: int) -> None:
        """One replacement. The native figure has rounds of its own."""
        if self._wanted & {"compile", "takeover"}:
            threads, until = self._replace()
            leader = max(threads, key=lambda name: threads[name])
            self._leaders.add("a worker" if leader == WORKER else "the main thread")
            self._leading.append(threads[leader])
            self._worker.append(threads[WORKER])
            self._until_parsed.append(until)

    def _said(self) -> str:
        """What the filter says of its takeovers; nothing, when this module does not say it."""
        answer = fetch(f"http://{HOST}:{self._envoy.admin}/stats?format=json&filter=^{HISTOGRAM}$")
        for row in json.loads(answer.body)["stats"]:
            shares: list[float] = row.get("histograms", {}).get("supported_quantiles", [])
            for one in row.get("histograms", {}).get("computed_quantiles", []):
                values = dict(zip(shares, one["values"], strict=True))
                if (longest := values[100]["cumulative"]) is not None:
                    return f"{HISTOGRAM}: at most {longest / 1000:.1f} ms"
        return ""

    def rows(self) -> list[Row]:
        """Compiling has a target; what is left for a worker has none of its own, and must be little."""
        made = []
        if "compile" in self._wanted:
            leading, note = spread(self._leading), "led by " + " and by ".join(sorted(self._leaders))
            about = (
                f"parse and compile of {self._rules:,} rules in Envoy: CPU of the thread that leads, transfer included"
            )
            made.append(Row("compile", about, leading, 1, "ms", *at_most(MOST_MS, leading, "ms"), note))
        if self._native:
            alone = spread(self._native)
            about = f"the same natively, {self._rules:,} rules"
            made.append(Row("compile-native", about, alone, 1, "ms", *at_most(MOST_MS, alone, "ms")))
        if "takeover" in self._wanted:
            about = f"the same {self._rules:,} rules: CPU of the worker"
            made.append(Row("takeover", about, spread(self._worker), 1, "ms", note=self._said()))
        return made

    def detail(self) -> tuple[dict[str, Any], str]:
        """When the news is in."""
        if not self._leading:
            return {}, ""
        leading, worker, until = (spread(one) for one in (self._leading, self._worker, self._until_parsed))
        figures = {"replacement": {"leader_cpu_ms": leading, "worker_cpu_ms": worker, "until_parsed_ms": until}}
        lines = [[f"{self._rules:,} rules", shown(leading, 1), shown(worker, 1), shown(until, 1)]]
        return figures, table(["replaced at once", "leader's CPU, ms", "worker's CPU, ms", "until parsed, ms"], lines)


def native(rules: int) -> list[float]:
    """Criterion's own estimates, in milliseconds: low, middle and high. Nothing where there is no Rust."""
    cargo = shutil.which("cargo")
    if cargo is None:
        print("compile-native is left out: it needs cargo", file=sys.stderr)
        return []
    call = [cargo, "bench", "--quiet", "-p", "hfi-engine", "--bench", "rules", "--", f"{_NATIVE}/{rules}"]
    done = subprocess.run(call, cwd=_WORKSPACE, capture_output=True, text=True, timeout=1800, check=False)
    found = re.search(r"time:\s+\[([\d.]+) (\S+) ([\d.]+) (\S+) ([\d.]+) (\S+)\]", done.stdout)
    if found is None:
        raise BenchmarkError(f"no benchmark {_NATIVE}/{rules} of hfi-engine:\n{(done.stdout + done.stderr)[-2000:]}")
    numbers = found.groups()
    return [float(value) * _UNITS[unit] for value, unit in zip(numbers[::2], numbers[1::2], strict=True)]
