"""A hundred thousand changes at full speed: what the control plane makes of them, and what it costs it."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from typing import Any

import uvloop
from control import ControlPlane, etcd, serve
from grpc import aio
from harness import wait_for
from report import shown, spread, table
from targets import Row

from hfi_core.store.etcd_client.methods import TXN
from hfi_core.store.pb import etcd_pb2 as pb
from xds.setting import GO_MISSING, ROOM, Clients, Setting, changed, document

NAMES = ("flood-memory", "flood-newest", "flood-coalesced")
STREAMS = 100
_CLUSTER = "flood"
#: Writes that are under way at etcd at one time.
_AT_ONCE = 64
#: Above this it is growth and not the allocators' breathing.
MOST_MB = 5.0


class Flood:
    """The changes are spread over the rounds."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._setting = setting
        self._missing = setting.program is None
        self._changes: int = setting.options.changes
        self._written = 0
        self._memory: list[tuple[int, float]] = []
        self._seconds: list[float] = []
        self._settled: list[float] = []
        if self._missing:
            return
        # An etcd and a control plane of its own: streams of others would be in the figure.
        self._etcd, _ = etcd(setting.bench, "flood-etcd")
        store = ["--store", "etcd", "--etcd", self._etcd]
        self._plane: ControlPlane = serve(setting.bench, store, name="flooded")
        uvloop.run(self._write(1))
        self._clients = Clients(setting, "flood-clients", self._plane.xds, STREAMS, _CLUSTER)
        self._clients.all_have(1)
        self._coalesced = self._plane.counted("hfi_xds_coalesced_changes_total")

    def round(self, number: int) -> None:
        """As many as are due, as fast as etcd takes them, and the last of them when all others are written."""
        if self._missing:
            return
        until = self._changes * (number + 1) // self._setting.options.rounds
        done = threading.Event()
        watching = threading.Thread(target=self._watch, args=(done,))
        watching.start()
        try:
            began = time.monotonic()
            uvloop.run(self._write(until))
            written = time.monotonic()
        finally:
            done.set()
            watching.join()
        self._seconds.append(written - began)
        self._clients.all_have(until, 120)
        self._settled.append((time.monotonic() - written) * 1000)
        self._memory.append((until, self._plane.started.memory()["rss"]))

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(0.25):
            self._memory.append((self._written, self._plane.started.memory()["rss"]))

    async def _write(self, until: int) -> None:
        async with aio.insecure_channel(self._etcd.removeprefix("http://")) as channel:
            call = channel.unary_unary(
                TXN.path,
                request_serializer=pb.TxnRequest.SerializeToString,
                response_deserializer=TXN.answer.FromString,
            )

            async def one(change: int) -> None:
                put = pb.PutRequest(key=f"{ROOM}{_CLUSTER}".encode(), value=document(_CLUSTER, changed(change, 1)))
                await call(pb.TxnRequest(success=[pb.RequestOp(request_put=put)]))
                self._written += 1

            left = iter(range(self._written + 1, until))

            async def some() -> None:
                for change in left:
                    await one(change)

            await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
            await one(until)

    def rows(self) -> list[Row]:
        """Memory, where the streams are, and what was coalesced."""
        if self._missing:
            return [Row(name, GO_MISSING, spread([math.nan])) for name in NAMES if name in self._wanted]
        settled = next(rss for at, rss in self._memory if at >= self._changes // 10)
        grown = spread([self._memory[-1][1] - settled])
        most = max(rss for _, rss in self._memory)
        state = self._clients.state()
        newest = spread([float(state["at"].get(str(self._changes), 0))])

        def counted() -> float | None:
            found = self._plane.counted("hfi_xds_coalesced_changes_total") - self._coalesced
            return found or None

        coalesced = spread([wait_for("the count of what was coalesced", counted)])
        rate = self._changes / sum(self._seconds)
        rows = [
            Row(
                "flood-memory",
                f"RSS after {self._changes:,} changes at {rate:,.0f} a second, less that after a tenth",
                grown,
                1,
                "MB",
                f"≤ {MOST_MB:g} MB",
                grown["median"] <= MOST_MB,
                f"{settled:.1f} → {self._memory[-1][1]:.1f} MB, most {most:.1f}",
            ),
            Row(
                "flood-newest",
                f"of {STREAMS} streams, at the newest change",
                newest,
                0,
                "",
                f"{STREAMS}",
                newest["median"] == STREAMS,
                f"the last was there {shown(spread(self._settled), 0)} ms after the last write",
            ),
            Row(
                "flood-coalesced",
                "changes that the control plane counts as coalesced",
                coalesced,
                0,
                "",
                "counted",
                True,
                f"{state['responses']:,} responses to {STREAMS} streams",
            ),
        ]
        return [row for row in rows if row.name in self._wanted]

    def detail(self) -> tuple[dict[str, Any], str]:
        """Memory on the way."""
        if self._missing:
            return {}, ""
        steps = [next(rss for at, rss in self._memory if at >= self._changes * tenth // 10) for tenth in range(1, 11)]
        head = ["changes, tenths", *(str(tenth) for tenth in range(1, 11))]
        text = table(head, [["RSS, MB", *(f"{rss:.1f}" for rss in steps)]])
        return {"flood": {"memory": self._memory, "seconds": self._seconds}}, text
