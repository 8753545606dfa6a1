"""``/v1/health``: whether the process lives, and with ``?ready`` whether it can serve."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hfi_core.feed import Feed
from hfi_sse import params
from hfi_sse.errors import NotReady
from hfi_sse.hub import StreamHub
from hfi_sse.services import Services


def troubles(feed: Feed, hub: StreamHub, max_age_seconds: float, unserved: str | None) -> list[str]:
    """What keeps this replica from being ready, each in words; empty when nothing does.

    ``unserved``: why no filter module is served; None: one is.
    """
    found: list[str] = []
    age = feed.age_ms()
    if feed.trouble is not None:
        found.append(f"store: {feed.trouble}")
    if age is not None and age > max_age_seconds * 1000:
        found.append(f"feed: the store was last heard of {age / 1000:.1f} s ago; the limit is {max_age_seconds:g} s")
    if unserved is not None:
        found.append(f"filter: no module is served: {unserved}")
    if hub.failed:
        found.append("stream: it follows the store no longer; the log says why; restart this replica")
    elif hub.stopping:
        found.append("stream: this replica is stopping")
    return found


class HealthRoute:
    """Liveness and readiness. Live means that the loop runs: a restart would not mend a store that is away."""

    def __init__(self, services: Services, hub: StreamHub) -> None:
        self._services = services
        self._hub = hub

    async def get(self, request: Request) -> Response:
        """200, always; with ``?ready`` 200 or 503."""
        ready_wanted = params.flag(params.only(request, ("ready",)), "ready")
        services = self._services
        max_age = services.settings.ready_max_feed_age_seconds
        found = troubles(services.feed, self._hub, max_age, services.filter_trouble())
        if ready_wanted and found:
            raise NotReady(found)
        snapshot = services.feed.current
        body = {
            "status": "ready" if ready_wanted else "alive",
            "ready": not found,
            "troubles": found,
            "version": services.version,
            "snapshot": None if snapshot is None else {"version": str(snapshot.version), "epoch": snapshot.epoch},
            "feedAgeMs": services.feed.age_ms(),
        }
        return JSONResponse(body, headers={"cache-control": "no-store"})
