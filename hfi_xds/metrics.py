"""The server's own metrics, in a registry that is given. ``METRICS.md`` is their API.

Labels are bounded: a type is one of :data:`~hfi_xds.resource_types.RULES` or ``other``, a reason one of a few words.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class ByType(dict[str, Counter]):
    """A counter by its label ``type``. Each is looked up once, for that costs more than to count."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        self._parent = Counter(name, documentation, ("type",), registry=registry)

    def __missing__(self, label: str) -> Counter:
        self[label] = child = self._parent.labels(label)
        return child


class XdsMetrics:
    """Counters and gauges of one server. Two servers need two registries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.streams = Gauge("hfi_xds_streams", "Discovery streams that are open.", registry=registry)
        self.rejected_streams = Counter(
            "hfi_xds_rejected_streams",
            "Streams that were refused or ended by the server, by reason.",
            ("reason",),
            registry=registry,
        )
        self.pushes = ByType("hfi_xds_pushes", "Responses that were given to gRPC.", registry)
        self.heartbeats = ByType(
            "hfi_xds_heartbeats", "Responses that say only that what a proxy has lives on.", registry
        )
        self.coalesced = Counter(
            "hfi_xds_coalesced_changes",
            "Changes of sidecar documents that went out together with a later one, and never on their own.",
            registry=registry,
        )
        self.acks = ByType("hfi_xds_acks", "Resources that proxies have acknowledged.", registry)
        self.nacks = ByType("hfi_xds_nacks", "Resources that proxies have rejected.", registry)
        self.false_acks = ByType(
            "hfi_xds_false_acks",
            "Acknowledgements of content that the same proxy rejected before, and so did not apply.",
            registry,
        )
        self.stale_nonces = ByType("hfi_xds_stale_nonce", "Requests that answered nothing that is open.", registry)
        self.unknown_types = Counter(
            "hfi_xds_unknown_type", "Requests for types that HFI knows nothing of.", registry=registry
        )
        self.report_streams = Gauge(
            "hfi_xds_report_streams", "Streams on which proxies report their metrics.", registry=registry
        )
        self.reports = Counter("hfi_xds_reports", "Reports of metrics from proxies.", registry=registry)
        self.report_series_dropped = Counter(
            "hfi_xds_report_series_dropped",
            "Series in reports that were left out, because a proxy reported too many.",
            registry=registry,
        )
