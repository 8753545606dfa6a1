"""An Envoy whose replica is killed: until the other one has its stream, and knows what it has."""

from __future__ import annotations

import time
from typing import Any

import envoys
from control import ControlPlane
from harness import HOST, BenchmarkError, free_ports, wait_for
from report import spread
from targets import Row, at_most

from hfi_cli.bootstrap import Sidecar, sidecar
from hfi_core.address import Address
from xds.setting import Setting

NAMES = ("failover",)
_NODE = "failover"
_SENT = 'hfi_xds_pushes_total{type="ecds"}'


class Failover:
    """One Envoy and two replicas; the one that is killed begins anew before the next round."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._setting = setting
        self._replicas = [setting.replica(f"replica-{number}") for number in (1, 2)]
        self._started = 2
        port, admin, to = free_ports(3)
        web, xds = ([Address(HOST, number) for number in ports] for ports in zip(*self._ports(), strict=True))
        about = Sidecar(_NODE, _NODE, Address(HOST, port), Address(HOST, to), Address(HOST, admin), web, xds)
        self._envoy = envoys.by_bootstrap(setting.bench, _NODE, sidecar(about), port, admin)
        self._taken: list[float] = []
        self._sent: list[float] = []

    def _ports(self) -> list[tuple[int, int]]:
        return [(one.http, one.xds) for one in self._replicas]

    def round(self, number: int) -> None:
        """Kill the one that has the stream."""
        holder = wait_for("a replica that has Envoy's stream", self._holder, 60)
        [other] = [one for one in self._replicas if one is not holder]
        before = other.counted(_SENT)
        began = time.monotonic()
        holder.started.process.kill()
        wait_for("the other one to know what Envoy has", lambda: _synced(other) or None, every=0.005)
        self._taken.append((time.monotonic() - began) * 1000)
        self._sent.append(other.counted(_SENT) - before)
        holder.started.process.wait()
        self._started += 1
        ports = (holder.http, holder.xds)
        self._replicas[self._replicas.index(holder)] = self._setting.replica(f"replica-{self._started}", ports)

    def _holder(self) -> ControlPlane | None:
        return next((one for one in self._replicas if _synced(one)), None)

    def rows(self) -> list[Row]:
        """The time, when nothing was sent again."""
        if any(self._sent):
            raise BenchmarkError(f"what Envoy has was sent to it again: {self._sent}")
        taken = spread(self._taken)
        note = "nothing that it has was sent again"
        about = "from SIGKILL of its replica until the other one has Envoy's stream and knows what it has"
        return [Row("failover", about, taken, 0, "ms", *at_most(1000, taken, "ms"), note=note)]

    def detail(self) -> tuple[dict[str, Any], str]:
        """All of them."""
        return {"failover_ms": self._taken}, ""


def _synced(replica: ControlPlane) -> bool:
    """Whether that replica itself has the stream, and Envoy has acknowledged, or brought along, all of it."""
    answer = replica.get("/v1/proxies")
    [own] = [one["id"] for one in answer["replicas"] if one["self"]]
    found = [one["xds"] for one in answer["items"] if one["node"] == _NODE]
    return any(
        xds["replica"] == own and xds["resources"] and all(one["state"] == "acked" for one in xds["resources"])
        for xds in found
    )
