"""What the certificates have to say to Prometheus. ``METRICS.md`` is the API."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hfi_core.tls.certificates import Certificates


class TlsCollector(Collector):
    """Read at the moment of the question."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: registering must not collect."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The families, newly read."""
        yield GaugeMetricFamily(
            "hfi_tls_expiry_timestamp_seconds",
            "When the server's certificate expires.",
            value=self._certificates.current.not_after.timestamp(),
        )
        loads = CounterMetricFamily("hfi_tls_reloads", "Changes of the TLS files, by result.", labels=("result",))
        for result, count in self._certificates.loads.items():
            loads.add_metric((result,), count)
        yield loads
