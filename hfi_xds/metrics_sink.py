"""Takes what Envoy's gRPC metrics sink sends: the filter's metrics, put together over the proxies.

A stream is one proxy; it says who it is in the first message only. Counters are absolute values (Envoy's
``report_counters_as_deltas`` must be off, its default), histograms are what was recorded since the last report.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterable, Sequence

import grpc
from google.protobuf.message import DecodeError

from hfi_core.dataplane import DataPlane
from hfi_core.proxies import MAX_PROXIES
from hfi_xds import pb, reports
from hfi_xds.admission import Caller
from hfi_xds.errors import StreamRefused
from hfi_xds.gate import DONE, SILENT, STOPPING, UNREADABLE, End, refused_by
from hfi_xds.metrics import XdsMetrics
from hfi_xds.session import MAX_TEXT
from hfi_xds.stream import Shared

NAMELESS = End(grpc.StatusCode.INVALID_ARGUMENT, "the first message must carry identifier.node.id", "invalid")
#: Series of one proxy. A VM defines at most 2,000 a rule table, and Envoy keeps the names of rules that have gone.
MAX_SERIES = 20_000


class MetricsSink:
    """Feeds ``data_plane`` from the streams of all proxies."""

    def __init__(self, data_plane: DataPlane, metrics: XdsMetrics) -> None:
        self._data_plane = data_plane
        self._metrics = metrics
        #: Nodes by when they last reported, the longest silent first.
        self._nodes: OrderedDict[str, None] = OrderedDict()

    async def run(self, requests: AsyncIterable[pb.StreamMetricsMessage], shared: Shared, caller: Caller) -> End:
        """Take reports until the proxy or the server ends the stream."""
        wake = asyncio.Event()
        with shared.gate.holding(wake.set), self._metrics.report_streams.track_inprogress():
            reader = asyncio.create_task(self._read(requests, wake, shared, caller))
            reader.add_done_callback(lambda _: wake.set())
            try:
                async with asyncio.timeout(shared.settings.hello_timeout_seconds):
                    await wake.wait()
                while not reader.done() and not shared.gate.closed:
                    wake.clear()
                    await wake.wait()
                return await reader if reader.done() else STOPPING
            except TimeoutError:
                return SILENT
            except DecodeError:
                return UNREADABLE
            finally:
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError, DecodeError):
                    await reader

    async def _read(
        self, requests: AsyncIterable[pb.StreamMetricsMessage], wake: asyncio.Event, shared: Shared, caller: Caller
    ) -> End:
        node_id, stream, held = "", object(), contextlib.ExitStack()
        try:
            async for message in requests:
                if not node_id:
                    node_id = message.identifier.node.id
                    if not node_id or len(node_id) > MAX_TEXT:
                        return NAMELESS
                    try:
                        held.enter_context(shared.admission.holding(caller, node_id))
                    except StreamRefused as refused:
                        return refused_by(refused)
                    # It has said who it is: from here on it may take its time.
                    wake.set()
                self.take(node_id, message.envoy_metrics, stream)
            return DONE
        finally:
            held.close()
            self._data_plane.gauges.ended(node_id, stream)

    def take(self, node_id: str, families: Sequence[pb.MetricFamily], stream: object = None) -> None:
        """Take one message of a stream."""
        self._metrics.reports.inc()
        report = reports.read(families)
        # Also when there is nothing of the filter's in it: Envoy leaves out what has never counted, and who is known to
        # have had no errors is known to have had its first.
        self._nodes[node_id] = None
        self._nodes.move_to_end(node_id)
        if len(self._nodes) > MAX_PROXIES:
            self._data_plane.forget(self._nodes.popitem(last=False)[0])
        self._bound(node_id, report.counters)
        self._data_plane.counters.observe(node_id, report.counters, report.uptime_seconds)
        self._data_plane.gauges.observe(node_id, report.gauges, stream)
        self._data_plane.histograms.observe(report.histograms)

    def _bound(self, node_id: str, counters: dict[str, int]) -> None:
        """Take out the series that are beyond what one proxy may have; those that are known go on."""
        known = self._data_plane.counters.nodes.get(node_id, {})
        room = max(0, MAX_SERIES - len(known))
        for name in [name for name in counters if name not in known][room:]:
            del counters[name]
            self._metrics.report_series_dropped.inc()
