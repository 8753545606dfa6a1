"""A whole ring of real programs: a store, a control plane on it, and two Envoys in front of the upstream."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from tests.e2e.ring import Ring
from tests.support.control_plane import Api, ControlPlane
from tests.support.etcd import Etcd, require_etcd
from tests.support.processes import Processes, free_ports
from tests.support.sidecar import Sidecar
from tests.support.upstream import Upstream

#: Where ``hfi-cli serve`` keeps policies in etcd.
PREFIX = "/hfi/policies/"
#: Named to the shared control plane as the path of a health check.
PROBE_PATH = "/healthz"
#: From Envoy's start to rules in every worker: the module has to be compiled, three times, on two cores.
START_SECONDS = 60.0

_numbers = itertools.count(1)


class Stack:
    """Ends with :meth:`close`. ``options`` are those of ``serve``; without ``etcd`` it keeps policies by itself."""

    def __init__(
        self, processes: Processes, upstream: Upstream, data: Path, options: Sequence[str], etcd: Etcd | None = None
    ) -> None:
        self._data = data
        self._etcd = etcd
        self.upstream = upstream
        self.control = ControlPlane(processes, options)
        self.sidecars = tuple(
            Sidecar(processes, self.control, upstream.port, node=node, cluster=cluster, labels=labels)
            for node, cluster, labels in (
                ("checkout-1", "checkout", {"track": "canary", "zone": "a"}),
                ("payments-1", "payments", {"track": "stable", "zone": "a"}),
            )
        )

    @property
    def etcd(self) -> Etcd:
        assert self._etcd is not None, "this control plane keeps its policies by itself"
        return self._etcd

    def start(self) -> Self:
        """Start whatever does not run: all of it, or what a test has ended."""
        if self._etcd is not None and not self._etcd.running:
            self._etcd.start()
        for program in (self.control, *self.sidecars):
            if not program.process.running:
                program.start()
        return self

    def close(self) -> None:
        for sidecar in self.sidecars:
            sidecar.stop()
        self.control.stop()
        if self._etcd is not None:
            self._etcd.stop()

    def stored(self) -> list[str]:
        """The names of the policies in etcd, by etcdctl's word."""
        found = self.etcd.ctl("get", "--prefix", "--keys-only", PREFIX)
        return [line.removeprefix(PREFIX) for line in found.split() if line]

    def write_stored(self, name: str, value: bytes) -> None:
        """Write past the API."""
        if value:
            self.etcd.ctl("put", PREFIX + name, data=value)
        else:
            self.etcd.ctl("put", PREFIX + name, "")

    def delete_stored(self, name: str) -> None:
        self.etcd.ctl("del", PREFIX + name)

    def embedded_etcds(self) -> list[int]:
        """Process ids of etcds that run on this control plane's own data."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().split(b"\0")
            except OSError:
                continue  # It has ended meanwhile.
            if words[0].endswith(b"etcd") and any(str(self._data).encode() in word for word in words):
                found.append(int(entry.parent.name))
        return found

    @asynccontextmanager
    async def ring(self, *sidecars: Sidecar) -> AsyncIterator[Ring]:
        """The ring for one test, by these proxies or the stack's own. There is no policy of any other test."""
        async with Api(self.control.url) as api:
            ring = Ring(api, sidecars or self.sidecars, self.upstream, next(_numbers))
            await ring.arrived(within=START_SECONDS)
            await ring.clear()
            yield ring


class StackFactory:
    """Stacks for tests that break things: each has programs of its own, which end with the block."""

    def __init__(self, processes: Processes, upstream: Upstream, directory: Path) -> None:
        self._processes = processes
        self._upstream = upstream
        self._data = directory / "data"

    def on_etcd(self, *options: str) -> Stack:
        require_etcd()
        self._data.mkdir()
        # Ports that stay free while it is away, and patience: a test must not meet an election for want of CPU.
        client, peer = free_ports(2)
        etcd = Etcd(self._data, client, peer, flags=("--heartbeat-interval=100", "--election-timeout=2000"))
        self._processes.watch("etcd", self._data / f"{etcd.name}.log")
        return self._stack("--store", "etcd", "--etcd", etcd.endpoint, *options, etcd=etcd)

    def on_memory(self, *options: str) -> Stack:
        return self._stack("--store", "memory", *options)

    def on_embedded(self) -> Stack:
        return self._stack("--store", "embedded", "--data-dir", str(self._data))

    def _stack(self, *options: str, etcd: Etcd | None = None) -> Stack:
        return Stack(self._processes, self._upstream, self._data, options, etcd)


@asynccontextmanager
async def started(stack: Stack) -> AsyncIterator[tuple[Stack, Ring]]:
    """A stack that a test has for itself."""
    try:
        stack.start()
        async with stack.ring() as ring:
            yield stack, ring
    finally:
        stack.close()
