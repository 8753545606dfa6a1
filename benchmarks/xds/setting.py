"""What the measurements share: etcd, the control plane on it, documents in it, and the clients in Go."""

from __future__ import annotations

import argparse
import base64
import functools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from control import ControlPlane, etcd, serve
from harness import HOST, Bench, BenchmarkError, Started, fetch, wait_for
from targets import Measurement

#: Where the store has the documents of sidecars.
ROOM = "/hfi/sidecars/"
GO_MISSING = "not measured: go is missing"
#: Names of an application's addresses: 64 is as many as a document may have, and makes a cluster of some 10 KB.
ADDRESSES = 64


@dataclass
class Setting:
    """One run."""

    bench: Bench
    options: argparse.Namespace

    @functools.cached_property
    def etcd(self) -> str:
        """The client URL of the store."""
        return etcd(self.bench)[0]

    @functools.cached_property
    def plane(self) -> ControlPlane:
        """The control plane, as users run it."""
        return self.replica("serve")

    def replica(self, name: str, ports: Sequence[int] = ()) -> ControlPlane:
        """One more on the same store."""
        return serve(self.bench, ["--store", "etcd", "--etcd", self.etcd], name=name, ports=ports)

    @functools.cached_property
    def program(self) -> str | None:
        """Clients and peer, built outside of the repository; None where there is no Go."""
        go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
        if go is None:
            return None
        built = str(self.bench.directory / "xds-go")
        done = subprocess.run(
            [go, "build", "-o", built, "."], cwd=Path(__file__).parent / "go", capture_output=True, text=True
        )
        if done.returncode:
            raise BenchmarkError(f"the clients in Go cannot be built:\n{done.stderr[-2000:]}")
        return built

    def put(self, cluster: str, spec: dict[str, Any]) -> None:
        """Write a document into etcd, and return when that has committed it."""
        pair = {"key": _base64(f"{ROOM}{cluster}".encode()), "value": _base64(document(cluster, spec))}
        answer = fetch(f"{self.etcd}/v3/kv/put", "POST", pair)
        if answer.status != 200:
            raise BenchmarkError(f"etcd answers {answer.status}: {answer.body[:300]!r}")


def document(cluster: str, spec: dict[str, Any]) -> bytes:
    """A ``kind: Sidecar`` document as the store has it."""
    return json.dumps({"apiVersion": "v1", "kind": "Sidecar", "metadata": {"name": cluster}, "spec": spec}).encode()


def changed(change: int, addresses: int = ADDRESSES) -> dict[str, Any]:
    """A sidecar in whose cluster the number of a change stands, which the clients look for."""
    names = [f"change-{change}.bench:80"]
    names += [f"address-{number:02d}.{'application.' * 8}internal:8080" for number in range(1, addresses)]
    return {"listen": "127.0.0.1:10000", "upstream": names}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class Clients:
    """Delta ADS streams that ask for clusters and acknowledge all, each on a connection of its own."""

    def __init__(self, setting: Setting, name: str, to: int, streams: int, cluster: str) -> None:
        assert setting.program is not None
        self.streams = streams
        command = [setting.program, "client", "-to", f"{HOST}:{to}", "-streams", str(streams), "-cluster", cluster]
        self._started: Started = setting.bench.start(name, command)
        self._lines = 0

    def stop(self) -> None:
        """Close all connections."""
        self._started.stop()

    def all_have(self, change: int, seconds: float = 60) -> dict[str, int]:
        """What they say of a change that all have acknowledged; times in nanoseconds of the Unix epoch."""
        found: dict[str, int] = self._said(lambda line: line.get("change") == change, f"change {change}", seconds)
        return found

    def state(self) -> dict[str, Any]:
        """How many responses they had, and how many of them are at which change."""
        before = len(self._all())
        self._started.process.send_signal(signal.SIGUSR1)
        return self._said(lambda line: "at" in line, "the clients' state", 30, before)

    def _said(
        self, wanted: Callable[[dict[str, Any]], bool], what: str, seconds: float, start: int = 0
    ) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            self._started.alive()
            return next((line for line in self._all()[start:] if wanted(line)), None)

        return wait_for(f"{what} at {self.streams} streams", look, seconds, every=0.005)

    def _all(self) -> list[dict[str, Any]]:
        # Its last line may be half written.
        whole = self._started.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


#: Starts a measurement, given the run and the names of those of its rows that are wanted.
Starter = Callable[[Setting, frozenset[str]], Measurement]
