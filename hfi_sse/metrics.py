"""``/v1/metrics``: the same numbers for people (JSON) and for Prometheus (text)."""

from __future__ import annotations

from typing import Any

from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hfi_core.dataplane import DataPlane
from hfi_core.dataplane.histograms import Histogram
from hfi_core.dataplane.names import RuleKey
from hfi_sse import params
from hfi_sse.errors import ParameterInvalid
from hfi_sse.hub import StreamHub
from hfi_sse.media import JSON, preferred
from hfi_sse.services import Services

TEXT_TYPES = ("application/openmetrics-text", "text/plain")


def rules_json(rules: dict[RuleKey, int]) -> list[dict[str, Any]]:
    """The rules' counters: one object a rule, and in it the kinds of fault, and the reasons why it did not act."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key, value in sorted(rules.items(), key=lambda item: (item[0].policy, item[0].rule, item[0].kind)):
        rule = found.setdefault(
            (key.policy, key.rule),
            {"policy": key.policy, "rule": key.rule, "matched": 0, "injected": {}, "shadowed": {}, "skipped": {}},
        )
        if key.what == "matched":
            rule["matched"] += value
        else:
            rule[key.what][key.kind] = value
    return list(found.values())


def histogram_json(histogram: Histogram) -> dict[str, Any]:
    """A histogram with its cumulative buckets; what is above the last one is told by the count."""
    buckets = [{"le": bound, "count": count} for bound, count in histogram.cumulative]
    return {"count": histogram.count, "sum": histogram.total, "buckets": buckets}


class MetricsRoute:
    """All metrics of this replica."""

    def __init__(self, services: Services, hub: StreamHub) -> None:
        self._services = services
        self._hub = hub

    async def get(self, request: Request) -> Response:
        """JSON, unless ``Accept`` or ``?format=prometheus`` asks for text."""
        wanted = params.only(request, ("format",)).get("format")
        if wanted not in (None, "json", "prometheus"):
            raise ParameterInvalid("format", "must be json or prometheus")
        accept = request.headers.get("accept", "")
        if wanted == "prometheus" or (wanted is None and preferred(accept, (JSON, *TEXT_TYPES)) != JSON):
            # Read in the loop and not in a thread: the numbers' owners change them in the loop.
            encode, content_type = choose_encoder(accept)
            return Response(encode(self._services.registry), headers={"content-type": content_type, "vary": "accept"})
        body = {**self._data_plane(self._services.data_plane), "control_plane": self._control_plane()}
        return JSONResponse(body, headers={"cache-control": "no-store", "vary": "accept"})

    def _data_plane(self, plane: DataPlane) -> dict[str, Any]:
        return {
            **plane.counters.totals,
            "active_delays": plane.gauges.active_delays,
            "snapshot_age_seconds": plane.gauges.snapshot_age_seconds,
            **{name: histogram_json(histogram) for name, histogram in plane.histograms.by_name.items()},
            "rules": rules_json(plane.counters.rules),
        }

    def _control_plane(self) -> dict[str, Any]:
        services, hub = self._services, self._hub
        snapshot = services.feed.current
        proxies = services.proxies.list()
        connected = sum(status.connected for status in proxies)
        return {
            "version": services.version,
            "snapshot_version": None if snapshot is None else str(snapshot.version),
            "epoch": None if snapshot is None else snapshot.epoch,
            "policies": None if snapshot is None else len(snapshot.policies),
            "policies_broken": None if snapshot is None else dict(snapshot.broken),
            "feed_age_ms": services.feed.age_ms(),
            "proxies": {"connected": connected, "gone": len(proxies) - connected},
            "stream": {
                "readers": dict(hub.open),
                "parked": hub.tracker.parked,
                "views": hub.tracker.tracked,
                "events": dict(hub.sent),
            },
        }
