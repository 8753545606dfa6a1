"""What every benchmark needs: processes that never outlive it, free ports, waiting, and where it ran.

Load goes to 127.0.0.1 only. A :class:`Bench` ends all it has started when its block is left, however that happens;
the kernel ends them (parent-death signal) should this process be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self, TypeVar

HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

T = TypeVar("T")


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says what to do. A figure is never made up instead."""


def free_ports(count: int) -> list[int]:
    """Distinct ports that were free a moment ago."""
    with contextlib.ExitStack() as open_sockets:
        held = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in held]


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 30.0, every: float = 0.05) -> T:
    """The first answer of ``probe`` that is not None. Raises :class:`BenchmarkError` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while (found := probe()) is None:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes


def fetch(
    url: str, method: str = "GET", body: object = None, headers: dict[str, str] | None = None, timeout: float = 10.0
) -> Answer:
    """One request on a connection of its own; ``body`` is sent as JSON. Raises OSError when nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    sent = {**({"content-type": "application/json"} if data is not None else {}), **(headers or {})}
    request = urllib.request.Request(url, data=data, method=method, headers=sent)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


@dataclass(slots=True)
class Started:
    """A running process and the file that holds what it printed."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """The process itself: no shell stands between."""
        return self.process.pid

    def alive(self) -> None:
        """Raise :class:`BenchmarkError`, with the end of the log, when it has ended."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{self.name} ended with {self.process.returncode}:\n{tail}")

    def cpu_seconds(self) -> float:
        """Processor time so far, of all its threads, to the nanosecond: /proc counts in ticks of 10 ms only."""
        # The kernel's number for another process's clock (clock_getcpuclockid(3), which Python does not have).
        return time.clock_gettime((~self.pid << 3) | 2)

    def thread_seconds(self) -> dict[str, float]:
        """The same for each thread by its name; those of one name together."""
        taken: dict[str, float] = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            taken[name] = taken.get(name, 0.0) + int((task / "schedstat").read_text().split()[0]) / 1e9
        return taken

    def memory(self) -> dict[str, float]:
        """``rss``, ``pss`` (shared pages counted by share) and ``private``, in MB (10^6 bytes)."""
        rows: dict[str, int] = {}
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]:
            key, value = line.split(":")
            rows[key] = int(value.split()[0]) * 1024
        private = rows["Private_Clean"] + rows["Private_Dirty"]
        return {"rss": rows["Rss"] / 1e6, "pss": rows["Pss"] / 1e6, "private": private / 1e6}

    def stop(self, seconds: float = 8.0) -> None:
        """SIGTERM, and SIGKILL when that is not enough. Safe to call twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Bench(contextlib.ExitStack):
    """A run: a directory for its files, and every process it starts."""

    def __enter__(self) -> Self:
        super().__enter__()
        signal.signal(signal.SIGTERM, _leave)
        self.directory = Path(self.enter_context(tempfile.TemporaryDirectory(prefix="hfi-bench-")))
        return self

    def start(
        self, name: str, command: Sequence[str], cpu: int | None = None, env: dict[str, str] | None = None
    ) -> Started:
        """Start a process; ``cpu`` is the only processor that it may use. It ends with this block."""
        parent = os.getpid()

        def prepare() -> None:
            # Between fork and exec, in a process that has no threads yet.
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            if cpu is not None:
                os.sched_setaffinity(0, {cpu})

        log = self.directory / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=prepare,
                env={**os.environ, **(env or {})},
            )
        started = Started(name, process, log)
        self.callback(started.stop)
        return started


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)


def command(name: str, advice: str) -> str:
    """The path of a program: beside this Python first, then on PATH. Raises with ``advice`` when it is missing."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise BenchmarkError(f"{name} is not installed; {advice}")
    return found


@functools.cache
def processors() -> tuple[int | None, int | None]:
    """One processor for what is measured and another for the rest; (None, None) where there is one only."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[-1], allowed[0]) if len(allowed) > 1 else (None, None)


def allow_files(count: int) -> None:
    """Raise the limit on open files. Raises :class:`BenchmarkError` when the machine forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise BenchmarkError(f"{count} open files are needed and {hard} allowed; raise it with: ulimit -n {count}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def machine() -> dict[str, Any]:
    """Where and when: what a figure means nothing without."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "processors": len(os.sched_getaffinity(0)),
        "processor": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


@contextlib.contextmanager
def reported_errors() -> Iterator[None]:
    """Ends the program with the message alone when it cannot go on, and quietly on Ctrl-C."""
    try:
        yield
    except BenchmarkError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
