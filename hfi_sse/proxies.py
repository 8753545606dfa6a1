"""``/v1/proxies``: what is known of each proxy, and whether its rules are what they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.replicas.documents import Replica
from hfi_core.replicas.fleet import Membership
from hfi_core.replicas.merging import Known, merge
from hfi_sse import params
from hfi_sse.errors import ProxyNotFound
from hfi_sse.hub import StreamHub
from hfi_sse.media import answer
from hfi_sse.presence import Presence
from hfi_sse.views import Audience, Position, Standing

DEFAULT_LIMIT = 1000
MAX_LIMIT = 20_000


#: What a replica is called that knows of no others.
ALONE = "alone"


class ProxyRoutes:
    """The proxies of all replicas. ``clock`` answers Unix milliseconds."""

    def __init__(
        self,
        proxies: ProxyRegistry,
        fleet: Membership | None,
        hub: StreamHub,
        presence: Presence,
        clock: Callable[[], int],
    ) -> None:
        self._proxies = proxies
        self._fleet = fleet
        self._hub = hub
        self._presence = presence
        self._clock = clock

    async def list(self, request: Request) -> Response:
        """A page of proxies, by node id, and counts of all."""
        query = params.only(request, ("limit", "after"))
        limit, after = params.number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT), query.get("after", "")
        known = self._known()
        current = [self._up_to_date(one.status) for one in known]
        found = [(one, fresh) for one, fresh in zip(known, current, strict=True) if one.status.node.id > after]
        items = [self._json(one, fresh) for one, fresh in found[:limit]]
        connected = [fresh for one, fresh in zip(known, current, strict=True) if one.status.connected]
        snapshot = self._hub.snapshot
        body = {
            "items": items,
            "next": items[-1]["node"] if len(found) > limit else None,
            "version": None if snapshot is None else str(snapshot.version),
            "epoch": None if snapshot is None else snapshot.epoch,
            "connected": len(connected),
            "connectedUpToDate": sum(connected),
            "replicas": [] if self._fleet is None else [self._replica(one) for one in self._fleet.replicas],
        }
        return await answer(request, body, headers={"cache-control": "no-store"})

    async def get(self, request: Request) -> Response:
        """One proxy."""
        params.only(request, ())
        node_id = request.path_params["id"]
        one = next((one for one in self._known() if one.status.node.id == node_id), None)
        if one is None:
            raise ProxyNotFound(node_id)
        body = self._json(one, self._up_to_date(one.status))
        return await answer(request, body, headers={"cache-control": "no-store"})

    def _known(self) -> tuple[Known, ...]:
        self._presence.confirm()
        return merge(ALONE, self._proxies.list(), ()) if self._fleet is None else self._fleet.known()

    def _replica(self, replica: Replica) -> dict[str, Any]:
        assert self._fleet is not None, "asked only of replicas that it knows"
        return {
            "id": replica.id,
            "self": replica.id == self._fleet.id,
            "startedMs": replica.started_ms,
            "version": replica.version,
        }

    def _up_to_date(self, status: ProxyStatus) -> bool:
        if status.rules_version is None:
            return False
        position = Position(status.rules_version, status.rules_epoch)
        return self._hub.standing(Audience(status.node.cluster, status.node.labels), position) is Standing.CURRENT

    def _json(self, known: Known, up_to_date: bool) -> dict[str, Any]:
        status = known.status
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
                "replica": known.xds_replica,
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
                "replica": known.rules_replica,
            },
        }
