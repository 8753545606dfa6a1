"""Takes what Envoy's gRPC metrics sink sends: the filter's counters, summed over the proxies.

A stream is one proxy; it says who it is in the first message only. Counters are absolute values (Envoy's
``report_counters_as_deltas`` must be off, its default). Whatever else a proxy sends is left aside: nothing that comes
here may harm the control plane.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Sequence

import grpc
from google.protobuf.message import DecodeError

from hfi_core.dataplane import PREFIX, DataPlaneCounters
from hfi_core.proxies import MAX_PROXIES
from hfi_xds import pb
from hfi_xds.gate import DONE, STOPPING, End
from hfi_xds.metrics import XdsMetrics
from hfi_xds.session import MAX_TEXT
from hfi_xds.stream import SILENT, UNREADABLE, Shared

NAMELESS = End(grpc.StatusCode.INVALID_ARGUMENT, "the first message must carry identifier.node.id", "invalid")
#: Series of one proxy. A VM defines at most 2,000 a rule table, and Envoy keeps the names of rules that have gone.
MAX_SERIES = 20_000
#: Envoy's gauge of whole seconds since its start.
UPTIME = "server.uptime"
#: Above it a float cannot hold every whole number; no counter gets there.
MAX_VALUE = float(2**53)


def filter_counters(families: Iterable[pb.MetricFamily]) -> dict[str, int]:
    """The filter's counters in a report, by full name. Pure; what makes no sense is left out."""
    found: dict[str, int] = {}
    for family in families:
        if family.type != pb.COUNTER or not family.name.startswith(PREFIX) or len(family.name) > MAX_TEXT:
            continue
        values = [metric.counter.value for metric in family.metric if metric.HasField("counter")]
        if values and all(0 <= value <= MAX_VALUE for value in values):
            found[family.name] = int(sum(values))
    return found


def uptime_seconds(families: Iterable[pb.MetricFamily]) -> float | None:
    """How long the proxy has run, as it says in a report; None when it does not. Pure."""
    for family in families:
        if family.name == UPTIME and family.type == pb.GAUGE:
            return max((metric.gauge.value for metric in family.metric), default=None)
    return None


class MetricsSink:
    """Feeds ``counters`` from the streams of all proxies."""

    def __init__(self, counters: DataPlaneCounters, metrics: XdsMetrics) -> None:
        self._counters = counters
        self._metrics = metrics
        #: Nodes by when they last reported, the longest silent first.
        self._nodes: OrderedDict[str, None] = OrderedDict()

    async def run(self, requests: AsyncIterable[pb.StreamMetricsMessage], shared: Shared) -> End:
        """Take reports until the proxy or the server ends the stream."""
        wake = asyncio.Event()
        with shared.gate.holding(wake), self._metrics.report_streams.track_inprogress():
            reader = asyncio.create_task(self._read(requests, wake))
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

    async def _read(self, requests: AsyncIterable[pb.StreamMetricsMessage], wake: asyncio.Event) -> End:
        node_id = ""
        async for message in requests:
            if not node_id:
                node_id = message.identifier.node.id
                if not node_id or len(node_id) > MAX_TEXT:
                    return NAMELESS
                # It has said who it is: from here on it may take its time.
                wake.set()
            self.take(node_id, message.envoy_metrics)
        return DONE

    def take(self, node_id: str, families: Sequence[pb.MetricFamily]) -> None:
        """Take one report."""
        self._metrics.reports.inc()
        counters = filter_counters(families)
        if not counters and node_id not in self._nodes:
            return  # An Envoy without our filter, so far.
        self._nodes[node_id] = None
        self._nodes.move_to_end(node_id)
        if len(self._nodes) > MAX_PROXIES:
            self._counters.forget(self._nodes.popitem(last=False)[0])
        known = self._counters.nodes.get(node_id, {})
        room = MAX_SERIES - len(known)
        for name in [name for name in counters if name not in known][max(0, room) :]:
            del counters[name]
            self._metrics.report_series_dropped.inc()
        self._counters.observe(node_id, counters, uptime_seconds(families))
