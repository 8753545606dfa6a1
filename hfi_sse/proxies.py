"""``/v1/proxies``: what is known of each proxy, and whether its rules are what they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_sse import params
from hfi_sse.errors import ProxyNotFound
from hfi_sse.hub import StreamHub
from hfi_sse.media import answer
from hfi_sse.presence import Presence
from hfi_sse.views import Audience, Position, Standing

DEFAULT_LIMIT = 1000
MAX_LIMIT = 20_000


class ProxyRoutes:
    """The proxies of this replica. ``clock`` answers Unix milliseconds."""

    def __init__(self, proxies: ProxyRegistry, hub: StreamHub, presence: Presence, clock: Callable[[], int]) -> None:
        self._proxies = proxies
        self._hub = hub
        self._presence = presence
        self._clock = clock

    async def list(self, request: Request) -> Response:
        """A page of proxies, by node id, and counts of all."""
        query = params.only(request, ("limit", "after"))
        limit, after = params.number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT), query.get("after", "")
        self._presence.confirm()
        known = self._proxies.list()
        current = [self._up_to_date(status) for status in known]
        found = [(status, fresh) for status, fresh in zip(known, current, strict=True) if status.node.id > after]
        items = [self._json(status, fresh) for status, fresh in found[:limit]]
        connected = [fresh for status, fresh in zip(known, current, strict=True) if status.connected]
        snapshot = self._hub.snapshot
        body = {
            "items": items,
            "next": items[-1]["node"] if len(found) > limit else None,
            "version": None if snapshot is None else str(snapshot.version),
            "epoch": None if snapshot is None else snapshot.epoch,
            "connected": len(connected),
            "connectedUpToDate": sum(connected),
        }
        return await answer(request, body, headers={"cache-control": "no-store"})

    async def get(self, request: Request) -> Response:
        """One proxy."""
        params.only(request, ())
        self._presence.confirm()
        node_id = request.path_params["id"]
        status = self._proxies.get(node_id)
        if status is None:
            raise ProxyNotFound(node_id)
        body = self._json(status, self._up_to_date(status))
        return await answer(request, body, headers={"cache-control": "no-store"})

    def _up_to_date(self, status: ProxyStatus) -> bool:
        if status.rules_version is None:
            return False
        position = Position(status.rules_version, status.rules_epoch)
        return self._hub.standing(Audience(status.node.cluster, status.node.labels), position) is Standing.CURRENT

    def _json(self, status: ProxyStatus, up_to_date: bool) -> dict[str, Any]:
        seen = status.rules_seen_ms
        return {
            "node": status.node.id,
            "cluster": status.node.cluster,
            "labels": dict(status.node.labels),
            "connected": status.connected,
            "firstSeenMs": status.first_seen_ms,
            "lastSeenMs": status.last_seen_ms,
            "userAgent": status.user_agent,
            "xds": {
                "streams": status.xds_streams,
                "resources": [
                    {
                        "typeUrl": resource.type_url,
                        "name": resource.name,
                        "digest": resource.digest,
                        "state": resource.state,
                        "message": resource.message,
                        "atMs": resource.at_ms,
                    }
                    for resource in status.resources
                ],
            },
            "rules": {
                "version": None if status.rules_version is None else str(status.rules_version),
                "epoch": status.rules_epoch or None,
                "upToDate": up_to_date,
                "ageMs": None if seen is None else max(0, self._clock() - seen),
                "polling": status.polling,
            },
        }
