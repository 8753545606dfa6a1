"""What a test of the whole ring holds in its hands: proxies, the API, and a place of its own in both."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from tests.support.control_plane import Api
from tests.support.reply import Seen
from tests.support.sidecar import Sidecar
from tests.support.traffic import Answer, Client, Connection, Headers, Wire, connections
from tests.support.traffic import once as ask_once
from tests.support.upstream import Upstream
from tests.support.waiting import eventually, eventually_async

#: From a write to the last proxy: milliseconds as a rule, but a machine of two cores runs other things too.
ARRIVAL_SECONDS = 15.0


def rule(name: str = "r", path: str | dict[str, str] | None = None, *, match: Any = None, **fault: Any) -> Any:
    """A rule for an exact path (or another path matcher), or for any ``match``."""
    chosen = dict(match or {})
    if path is not None:
        chosen["path"] = {"exact": path} if isinstance(path, str) else path
    return {"name": name, "match": chosen, "fault": fault}


def abort(status: int = 503, **more: Any) -> dict[str, Any]:
    return {"httpStatus": status, **more}


def delay(duration: str, **more: Any) -> dict[str, Any]:
    return {"fixedDelay": duration, **more}


class Ring:
    """A control plane, proxies, and their upstream. ``name`` and ``path`` are no other test's."""

    def __init__(self, api: Api, sidecars: Sequence[Sidecar], upstream: Upstream, number: int) -> None:
        self.api = api
        self.sidecars = tuple(sidecars)
        self.upstream = upstream
        self.name = f"test-{number:03}"
        self.path = f"/test-{number:03}"

    @property
    def sidecar(self) -> Sidecar:
        """The first proxy: the only one that most tests need."""
        return self.sidecars[0]

    # -- policies -------------------------------------------------------------------------------------------

    def policy(self, *rules: Any, name: str = "", **spec: Any) -> dict[str, Any]:
        """A policy of this test. ``name`` is put behind its own, where it has several."""
        full = f"{self.name}-{name}" if name else self.name
        head = {"apiVersion": "v1", "kind": "FaultInjectionPolicy", "metadata": {"name": full}}
        return {**head, "spec": {**spec, "rules": list(rules)}}

    async def apply(self, *documents: Any) -> list[dict[str, Any]]:
        """Apply, and wait until every proxy runs by it."""
        stored = [await self.api.apply(document) for document in documents]
        await self.arrived(max(int(policy["metadata"]["version"]) for policy in stored))
        return stored

    async def inject(self, **fault: Any) -> None:
        """Apply a policy of one rule, for this test's path."""
        await self.apply(self.policy(rule(path=self.path, **fault)))

    async def arrived(self, version: int = 0, within: float = ARRIVAL_SECONDS) -> None:
        """Wait until every proxy confirms that it runs by that version or a newer one."""
        nodes = [sidecar.node for sidecar in self.sidecars]
        await eventually_async(
            lambda: self.api.up_to_date(nodes, version), within=within, what=f"{nodes} at version {version}"
        )

    async def clear(self) -> None:
        """Remove every policy, and wait until no proxy has any."""
        versions = [await self.api.delete(name) for name in await self.api.names()]
        await self.arrived(max(versions, default=0))

    # -- metrics --------------------------------------------------------------------------------------------

    def rule_counters(self, name: str = "", by: Sidecar | None = None) -> dict[str, int]:
        """What the first proxy, or ``by`` another, has counted for a policy of this test: ``injected~r~abort``."""
        policy = f"{self.name}-{name}" if name else self.name
        found = (by or self.sidecar).stats(f"wasmcustom[.]hfi[.]rule~[a-z]+~{policy}~.*")
        parts = {key.removeprefix("wasmcustom.hfi.rule~"): count for key, count in found.items()}
        return {key.replace(f"~{policy}~", "~", 1): count for key, count in parts.items() if count}

    async def counted(self, wanted: dict[str, int], name: str = "", by: Sidecar | None = None) -> None:
        """Wait until a proxy has counted this, and nothing else: counters reach Envoy with the filter's next tick."""
        found: dict[str, int] = {}

        def same() -> bool:
            found.clear()
            found.update(self.rule_counters(name, by))
            return found == wanted

        try:
            await eventually(same, what=f"{wanted}")
        except AssertionError:
            assert found == wanted
            raise

    # -- traffic --------------------------------------------------------------------------------------------

    async def ask(
        self,
        path: str = "",
        method: str = "GET",
        headers: Headers = (),
        body: bytes | None = None,
        *,
        by: Sidecar | None = None,
        wire: Wire = Connection,
        authority: str = "",
    ) -> Answer:
        """One request on a new connection to the first proxy, or ``by`` another; ``path`` is under this test's."""
        port = (by or self.sidecar).port
        return await ask_once(port, self.path + path, method, headers, body, wire=wire, authority=authority)

    def connections(
        self, count: int, *, by: Sidecar | None = None, wire: Wire = Connection
    ) -> AbstractAsyncContextManager[list[Client]]:
        """Connections to the first proxy, or ``by`` another, that are open already."""
        return connections((by or self.sidecar).port, count, wire=wire)

    @property
    def reached(self) -> list[Seen]:
        """What has reached the upstream of this test's requests."""
        return self.upstream.seen(self.path)


def assert_passed(answer: Answer) -> None:
    """The application has answered, and nothing was injected."""
    assert (answer.status, answer.header("x-upstream")) == (200, "tests"), answer
    assert answer.header("x-hfi-fault") is None


def assert_delayed(answer: Answer, seconds: float) -> None:
    """The application has answered, not before that time, and the answer says that it was held."""
    assert (answer.status, answer.header("x-upstream")) == (200, "tests"), answer
    assert answer.header("x-hfi-fault") is not None
    assert answer.seconds >= seconds


def assert_aborted(answer: Answer, status: int = 503) -> None:
    """The filter has answered."""
    assert (answer.status, answer.header("x-upstream")) == (status, None), answer
    assert answer.header("x-hfi-fault") is not None
