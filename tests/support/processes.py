"""Programs that tests start: their output is kept for whoever has to understand a failure, and none outlives pytest.

Start-up and end are synchronous, because fixtures of a session have no event loop; tests wait for conditions with
:mod:`tests.support.waiting`.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from hfi_core.store import leash

#: A program that does not end within this time after SIGTERM is killed, and the test that asked for it fails.
GRACE_SECONDS = 15.0


class Process:
    """One program, which can be started again after it has ended. What it prints goes to the end of ``log``."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def start(self) -> Self:
        """Not to be called in a thread that ends before the program shall: it would end with it (see ``leash``)."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._env,
            )
        return self

    def stop(self, grace: float = GRACE_SECONDS) -> int:
        """SIGTERM, and the exit code. Fails when the program has to be killed. Safe to call twice."""
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"{self.name} did not end within {grace} s after SIGTERM") from None
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL, as if the machine had gone. Safe to call twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def until(self, ready: Callable[[], bool], within: float = 30.0) -> Self:
        """Wait until the program says that it is ready; fails at once, with its output, when it ends instead."""
        deadline = time.monotonic() + within
        while not ready():
            assert self.running, f"{self.name} has ended with {self.stop()}:\n{self.output()[-4000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready after {within} s:\n{self.output()[-4000:]}"
            time.sleep(0.02)
        return self

    def output(self) -> str:
        """What it has printed."""
        return _read(self.log)


class Processes:
    """All programs of a session, in the order of their start; ended in the reverse order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._all: list[Process] = []
        self._logs: dict[Path, str] = {}
        self._marks: dict[Path, int] = {}

    def add(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> Process:
        """A program that is not started yet."""
        process = Process(name, command, self.directory / f"{len(self._all):02d}-{name}.log", env)
        self._all.append(process)
        self.watch(name, process.log)
        return process

    def watch(self, name: str, log: Path) -> None:
        """Show this log, too, when a test fails: that of a program which somebody else starts and ends."""
        self._logs[log] = name

    def mark(self) -> None:
        """From here on is news (see :meth:`news`)."""
        self._marks = {log: log.stat().st_size for log in self._logs if log.exists()}

    def news(self) -> list[tuple[str, str]]:
        """What each program has printed since the mark, if anything."""
        told = ((name, log, _read(log, self._marks.get(log, 0))) for log, name in self._logs.items())
        return [(f"{name} ({log})", text[-8000:]) for name, log, text in told if text]

    def close(self) -> None:
        """End them all, and then complain about those that would not."""
        problems = []
        for process in reversed(self._all):
            try:
                process.stop()
            except AssertionError as error:
                problems.append(str(error))
        assert not problems, problems


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens, below those that the kernel gives to clients.

    Such a port stays free while the server behind it is away. One of the clients' range could be taken by any
    connection; even by one to itself, when a proxy keeps trying to reach a server that is gone.
    """
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, below)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def _read(log: Path, start: int = 0) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")
