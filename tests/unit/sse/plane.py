"""A control plane's HTTP side in this process, over TCP: the real store, engine, application and server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from hfi_core.clock import now_ms
from hfi_core.dataplane import DataPlane
from hfi_core.feed import Feed
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.metrics import HfiCollector
from hfi_core.policies import PolicyService
from hfi_core.policy.engine import RuleEngine
from hfi_core.proxies import ProxyRegistry
from hfi_core.sidecars.document import Sidecars
from hfi_core.sidecars.service import ROOM, SidecarService
from hfi_core.store.memory import MemoryStore
from hfi_sse.app import create_app
from hfi_sse.server import HttpServer
from hfi_sse.services import HttpSettings, Services
from tests.support.policies import policy
from tests.support.waiting import eventually_async

HOST = "127.0.0.1"


@functools.cache
def engine() -> RuleEngine:
    """Compiled once for all tests."""
    return RuleEngine()


@dataclass
class Plane:
    store: MemoryStore
    feed: Feed
    services: Services
    server: HttpServer
    port: int
    client: httpx.AsyncClient

    async def apply(self, name: str = "p", *rules: dict[str, Any], **spec: Any) -> int:
        """Apply a policy by REST; answers its version."""
        answer = await self.client.post("/v1/policies", json=policy(name, *rules, **spec))
        assert answer.is_success, answer.text
        return int(answer.json()["metadata"]["version"])

    async def stream_metrics(self) -> dict[str, Any]:
        metrics = (await self.client.get("/v1/metrics")).json()
        stream: dict[str, Any] = metrics["control_plane"]["stream"]
        return stream

    async def parked(self, count: int) -> None:
        """Wait until exactly so many readers are parked."""

        async def reached() -> bool:
            return bool((await self.stream_metrics())["parked"] == count)

        await eventually_async(reached, within=30, what=f"{count} parked readers")


@contextlib.asynccontextmanager
async def running(
    *,
    settings: HttpSettings | None = None,
    store: MemoryStore | None = None,
    follow: bool = True,
    clock: Callable[[], int] = now_ms,
    explainer: Any = None,
    filter_trouble: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[Plane]:
    """A plane that serves. ``follow=False``: the feed has read nothing, and nobody has it read."""
    kept = MemoryStore() if store is None else store
    await kept.start()
    feed = Feed(kept, clock)
    documents = kept.beside(ROOM)
    await documents.start()
    sidecars = Follower("sidecar documents", documents, Sidecars.of)
    manifests = kept.beside("filter")
    filters = Follower("filters", manifests, FilterState.of)
    following = asyncio.gather(feed.run(), sidecars.run(), filters.run()) if follow else None
    if follow:
        await feed.reached(0)
        await sidecars.reached(0)
        await filters.reached(0)
    services = Services(
        policies=PolicyService(kept, feed, engine().check, clock),
        sidecars=SidecarService(documents, sidecars),
        feed=feed,
        proxies=ProxyRegistry(clock),
        data_plane=DataPlane(),
        engine=explainer or engine(),
        modules=ModuleCatalogue(manifests, kept.beside("filter-pieces")),
        filters=filters,
        rollouts=RolloutService(manifests, filters, clock),
        filter_version=lambda assignment: assignment.digest,
        filter_trouble=filter_trouble,
        registry=CollectorRegistry(),
        version="1.2.3",
        settings=settings or HttpSettings(),
        clock=clock,
    )
    services.registry.register(HfiCollector(services.data_plane, services.proxies, feed))
    server = HttpServer(create_app(services), HOST, 0, stopping=services.stopping, grace_seconds=2)
    port = await server.start()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    try:
        url = f"http://{HOST}:{port}"
        # No TLS: httpx would read every authority there is, for 40 ms each time.
        async with httpx.AsyncClient(base_url=url, verify=False, timeout=60, limits=limits) as client:
            yield Plane(kept, feed, services, server, port, client)
    finally:
        await server.stop()
        if following is not None:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
        await documents.close()
        await kept.close()
