"""From a commit in etcd to the acknowledgement of a real Envoy that has its whole sidecar from here.

Between Envoy and the control plane stands a relay that passes bytes on and notes when an acknowledgement goes by.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from typing import Any

import envoys
from harness import HOST, free_ports, wait_for
from report import percentile, spread
from targets import Row

from hfi_cli.bootstrap import Sidecar
from hfi_cli.bootstrap.minimal import minimal
from hfi_core.address import Address
from hfi_xds.resource_types import ENDPOINT
from xds.setting import Setting

NAMES = ("ack-p50", "ack-p99")
_CLUSTER = "acked"
MOST_MS = {50: 10, 99: 50}


class Relay:
    """Of one connection after the other. ``seen``: when the client last said something of endpoints, by the clock."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        self.seen: list[float] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection((HOST, self._to))
            for one, other, watched in ((client, server, True), (server, client, False)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(one, other, watched), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, watched: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 18):
                # A type is named in every request, and HTTP/2 does not compress a body.
                if watched and ENDPOINT.encode() in data:
                    self.seen.append(time.perf_counter())
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


class Acked:
    """One Envoy, whose application moves again and again: a change of endpoints."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._setting = setting
        self._each: int = -(-setting.options.commits // setting.options.rounds)
        self._taken: list[float] = []
        self._relay = Relay(setting.plane.xds)
        self._port, admin = free_ports(2)
        self._change = 0
        self._put()
        web = Address(HOST, setting.plane.http)
        about = Sidecar(_CLUSTER, _CLUSTER, None, None, Address(HOST, admin), [web], [Address(HOST, self._relay.port)])
        envoys.by_bootstrap(setting.bench, _CLUSTER, minimal(about), self._port, admin)
        wait_for("Envoy to have its endpoints", lambda: self._relay.seen or None)
        for _ in range(5):
            self._once()
        self._taken.clear()

    def _put(self) -> None:
        self._change += 1
        upstream = f"127.0.0.1:{20_000 + self._change % 10_000}"
        self._setting.put(_CLUSTER, {"listen": f"{HOST}:{self._port}", "upstream": upstream})

    def _once(self) -> None:
        # So that the changes do not fall in step with a timer anywhere.
        time.sleep(random.uniform(0.03, 0.08))
        before = len(self._relay.seen)
        self._put()
        committed = time.perf_counter()
        wait_for("the acknowledgement", lambda: len(self._relay.seen) > before or None, every=0.0005)
        self._taken.append((self._relay.seen[before] - committed) * 1000)

    def round(self, number: int) -> None:
        """As many changes as are due."""
        before = self._setting.plane.counted('hfi_xds_acks_total{type="eds"}')
        for _ in range(self._each):
            self._once()
        acks = 'hfi_xds_acks_total{type="eds"}'
        wait_for("all of them counted", lambda: self._setting.plane.counted(acks) >= before + self._each or None)

    def rows(self) -> list[Row]:
        """Percentiles over all changes."""
        rows = []
        for share, most in MOST_MS.items():
            value = percentile(self._taken, share)
            about = f"commit in etcd to the ACK of one Envoy, p{share} of {len(self._taken)}"
            rows.append(Row(f"ack-p{share}", about, spread([value]), 1, "ms", f"≤ {most} ms", value <= most))
        return [row for row in rows if row.name in self._wanted]

    def detail(self) -> tuple[dict[str, Any], str]:
        """All of them."""
        return {"acked_ms": self._taken}, ""
