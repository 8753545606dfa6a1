"""The HTTP application, put together: ``create_app(Services(...))``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from hfi_sse import problems
from hfi_sse.explain import ExplainRoute
from hfi_sse.filters import FilterRoutes
from hfi_sse.health import HealthRoute
from hfi_sse.hub import StreamHub
from hfi_sse.metrics import MetricsRoute
from hfi_sse.openapi import OpenApiRoute
from hfi_sse.policies import PolicyRoutes
from hfi_sse.presence import Presence
from hfi_sse.proxies import ProxyRoutes
from hfi_sse.readers import ReaderLimit
from hfi_sse.rollout import RolloutRoutes
from hfi_sse.routing import resource
from hfi_sse.services import Services
from hfi_sse.sidecars import SidecarRoutes
from hfi_sse.stream import StreamRoute
from hfi_sse.telemetry import HttpMetrics, StreamCollector, Telemetry


def create_app(services: Services) -> Starlette:
    """The application. Its lifespan follows the feed, so it must be run by a server that has one."""
    hub = StreamHub(services.feed, services.clock)
    presence = Presence(services.proxies, hub, services.settings.poll_grace_seconds)

    if services.fleet is not None:
        services.fleet.confirm = presence.confirm

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(hub.run())
        stopping = asyncio.create_task(_stop_with(services.stopping, hub))
        try:
            yield
        finally:
            hub.stop()
            presence.close()
            following.cancel()
            stopping.cancel()
            await asyncio.gather(following, stopping, return_exceptions=True)

    services.registry.register(StreamCollector(hub))
    return Starlette(
        routes=_routes(services, hub, presence),
        middleware=[Middleware(Telemetry, metrics=HttpMetrics(services.registry))],
        exception_handlers=problems.handlers(),
        lifespan=lifespan,
    )


async def _stop_with(event: asyncio.Event, hub: StreamHub) -> None:
    await event.wait()
    hub.stop()


def _routes(services: Services, hub: StreamHub, presence: Presence) -> Sequence[Route]:
    policies = PolicyRoutes(services.policies, services.settings.max_body_bytes)
    sidecars = SidecarRoutes(services.sidecars, services.settings.max_body_bytes)
    settings = services.settings
    limit = ReaderLimit(settings.max_readers, settings.max_readers_per_node, services.registry)
    proxies = ProxyRoutes(services.proxies, services.fleet, hub, presence, services.clock)
    filters = FilterRoutes(services.modules, services.filters)
    rollout = RolloutRoutes(
        services.rollouts,
        services.proxies,
        services.fleet,
        services.filter_version,
        services.settings.max_body_bytes,
    )
    return (
        resource("/v1/policies", {"GET": policies.list, "POST": policies.post}),
        resource("/v1/policies/{name}", {"GET": policies.get, "PUT": policies.put, "DELETE": policies.delete}),
        resource("/v1/sidecars", {"GET": sidecars.list, "POST": sidecars.post}),
        resource("/v1/sidecars/{name}", {"GET": sidecars.get, "DELETE": sidecars.delete}),
        resource("/v1/filters", {"GET": filters.list}),
        # Before the versions: none is named so.
        resource("/v1/filters/rollout", {"GET": rollout.get, "POST": rollout.start}),
        resource("/v1/filters/rollout/advance", {"POST": rollout.advance}),
        resource("/v1/filters/rollout/pause", {"POST": rollout.pause}),
        resource("/v1/filters/rollout/rollback", {"POST": rollout.roll_back}),
        resource("/v1/filters/{version}", {"GET": filters.get, "PUT": filters.put, "DELETE": filters.delete}),
        resource("/v1/explain", {"POST": ExplainRoute(services).post}),
        resource("/v1/proxies", {"GET": proxies.list}),
        # Node ids are the users' own and may hold slashes.
        resource("/v1/proxies/{id:path}", {"GET": proxies.get}),
        resource("/v1/config/stream", {"GET": StreamRoute(hub, presence, settings, limit, services.nodes).get}),
        resource("/v1/health", {"GET": HealthRoute(services, hub).get}),
        resource("/v1/metrics", {"GET": MetricsRoute(services, hub).get}),
        resource("/v1/openapi.json", {"GET": OpenApiRoute(services.version).get}),
    )
