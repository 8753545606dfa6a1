"""The HTTP side's own metrics. ``METRICS.md`` is their API; every label is bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hfi_sse.hub import StreamHub

#: A request to an address that is no resource of ours: anybody can invent addresses.
NO_ROUTE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
#: How long a stream lasts says nothing of how fast the server is.
UNTIMED = frozenset({"/v1/config/stream"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class HttpMetrics:
    """Requests, by route template, method and class of status; and their time, by route."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "hfi_http_requests", "HTTP requests answered.", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "hfi_http_request_seconds",
            "Time to answer an HTTP request; streams are left out.",
            ("route",),
            buckets=BUCKETS,
            registry=registry,
        )

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Take one request."""
        known = method if method in METHODS else "other"
        self._requests.labels(route, known, f"{status // 100}xx").inc()
        if route not in UNTIMED:
            self._seconds.labels(route).observe(seconds)


class Telemetry:
    """Measures every HTTP request: plain ASGI, for starlette's own base class would buffer streams."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # What the client gets when the application raises before it has answered.

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        started = time.perf_counter()
        try:
            await self._app(scope, receive, watching)
        finally:
            route = scope.get("route")
            name = route.path if isinstance(route, Route) else NO_ROUTE
            self._metrics.observe(name, scope["method"], status, time.perf_counter() - started)


class StreamCollector(Collector):
    """What the hub knows, read at the moment of the question."""

    def __init__(self, hub: StreamHub) -> None:
        self._hub = hub

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: registering must not collect."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families, newly read."""
        hub = self._hub
        readers = GaugeMetricFamily("hfi_stream_readers", "Requests for the stream that are open.", labels=("kind",))
        for kind, count in hub.open.items():
            readers.add_metric((kind,), count)
        yield readers
        yield GaugeMetricFamily("hfi_stream_parked", "Readers that wait for a change.", value=hub.tracker.parked)
        yield GaugeMetricFamily("hfi_stream_views", "Distinct views that are kept.", value=hub.tracker.tracked)
        events = CounterMetricFamily("hfi_stream_events", "Update events sent.", labels=("kind",))
        for kind, count in hub.sent.items():
            events.add_metric((kind,), count)
        yield events
        if hub.snapshot is not None:
            yield GaugeMetricFamily(
                "hfi_stream_version", "Store revision of the snapshot being streamed.", value=hub.snapshot.version
            )
