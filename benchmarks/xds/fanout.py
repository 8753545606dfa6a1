"""One change to thousands of streams: until the last has acknowledged it, and beside go-control-plane."""

from __future__ import annotations

import math
import time
import urllib.request
from typing import Any

from control import ControlPlane
from harness import HOST, fetch, free_ports, wait_for
from report import ratios, shown, spread, table
from targets import Row, at_most

from hfi_core.sidecars.document import SidecarSpec
from hfi_core.sidecars.model import Sidecar, listen_address, upstream_addresses
from hfi_xds.resource_types import CLUSTER
from hfi_xds.sidecar_resources import sidecar_resources
from xds.setting import GO_MISSING, Clients, Setting, changed

NAMES = ("last-ack", "stream-memory", "beside-go")
_CLUSTER = "fanout"
#: What replicas tell each other of a change comes a second after it, and is not to run while the peer is measured.
APART_SECONDS = 2


class Fanout:
    """Both servers run all the time, with streams of their own, and are told of each change in turn."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._missing = setting.program is None
        self._taken: dict[str, dict[str, list[float]]] = {}
        self._memory: dict[str, float] = {}
        if setting.program is None:
            return
        streams: int = setting.options.streams
        self._streams = streams
        self._change = 1
        setting.put(_CLUSTER, changed(self._change))
        self._plane: ControlPlane = setting.plane
        warm = Clients(setting, "warm", self._plane.xds, 1, _CLUSTER)
        warm.all_have(1)  # What is imported with the first resource is not a stream's.
        warm.stop()
        web, xds = free_ports(2)
        peer = setting.bench.start(
            "go-control-plane", [setting.program, "server", "-xds", f"{HOST}:{xds}", "-http", f"{HOST}:{web}"]
        )
        self._peer_process = peer
        self._peer = f"http://{HOST}:{web}"
        wait_for("go-control-plane to listen", self._peer_is_there)
        self._put_peer(self._body(1))
        self._clients = {}
        for name, started, port in (("hfi", self._plane.started, self._plane.xds), ("go", peer, xds)):
            before = started.memory()["rss"]
            self._clients[name] = Clients(setting, f"{name}-clients", port, streams, _CLUSTER)
            self._clients[name].all_have(1, 120)
            self._memory[name] = (started.memory()["rss"] - before) * 1000 / streams
            self._taken[name] = {"first": [], "last": [], "acked": [], "counted": []}
        self._setting = setting

    def _peer_is_there(self) -> bool | None:
        try:
            return fetch(f"{self._peer}/acks").status == 200 or None
        except OSError:
            return None

    def _body(self, change: int) -> bytes:
        """The same cluster as bytes, made before the clock runs: the peer is handed what HFI has to make."""
        spec = SidecarSpec.model_validate(changed(change))
        assert spec.listen is not None
        assert spec.upstream is not None
        sidecar = Sidecar(listen_address(spec.listen), upstream_addresses(spec.upstream))
        [body] = [one.body for one in sidecar_resources(sidecar) if one.type_url == CLUSTER]
        return body

    def _put_peer(self, body: bytes) -> None:
        request = urllib.request.Request(f"{self._peer}/resource", body, method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()

    def _acks(self, name: str) -> float:
        if name == "hfi":
            return self._plane.counted('hfi_xds_acks_total{type="cds"}')
        return float(fetch(f"{self._peer}/acks").body)

    def _until_counted(self, name: str, acks: float) -> None:
        wait_for("the last acknowledgement", lambda: self._acks(name) >= acks or None, every=0.01)

    def round(self, number: int) -> None:
        """A change at each, in every other round the other one first."""
        if self._missing:
            return
        self._change += 1
        for name in ("hfi", "go") if number % 2 == 0 else ("go", "hfi"):
            self._peer_process.alive()
            time.sleep(APART_SECONDS)
            before, body = self._acks(name), self._body(self._change)
            began = time.time_ns()
            if name == "hfi":
                self._setting.put(_CLUSTER, changed(self._change))
            else:
                self._put_peer(body)
            found = self._clients[name].all_have(self._change)
            # Asked for only now: questions meanwhile would be in the way.
            self._until_counted(name, before + self._streams)
            taken = self._taken[name]
            taken["counted"].append((time.time_ns() - began) / 1e6)
            for key in ("first", "last", "acked"):
                taken[key].append((found[key] - began) / 1e6)
            self._size = found["bytes"]

    def rows(self) -> list[Row]:
        """Times and memory."""
        if self._missing:
            return [Row(name, GO_MISSING, spread([math.nan])) for name in NAMES if name in self._wanted]
        hfi, peer = self._taken["hfi"], self._taken["go"]
        last, memory = spread(hfi["counted"]), spread([self._memory["hfi"]])
        about = f"one change to the last ACK, {self._streams:,} streams, a cluster of {self._size / 1000:.1f} KB"
        rows = [
            Row("last-ack", about, last, 0, "ms", *at_most(1000, last, "ms")),
            Row(
                "stream-memory", "RSS of the control plane for each stream", memory, 1, "KB", *at_most(60, memory, "KB")
            ),
        ]
        ratio = ratios(hfi["counted"], peer["counted"])
        about = "the same, beside go-control-plane with the same clients"
        rows.append(Row("beside-go", about, ratio, 2, "×", *at_most(2, ratio, "×")))
        return [row for row in rows if row.name in self._wanted]

    def detail(self) -> tuple[dict[str, Any], str]:
        """When it was where, at both."""
        if self._missing:
            return {}, ""
        figures = {name: {key: spread(v) for key, v in taken.items()} for name, taken in self._taken.items()}
        head = [
            "ms after the write was sent",
            "first has it",
            "last has it",
            "last ACK sent",
            "last ACK counted",
            "KB a stream",
        ]
        lines = [
            [name, *(shown(one[key], 0) for key in ("first", "last", "acked", "counted")), f"{self._memory[name]:.1f}"]
            for name, one in figures.items()
        ]
        return {"fanout": figures, "kb_a_stream": self._memory}, table(head, lines)
