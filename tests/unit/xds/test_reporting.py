from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from hfi_core.proxies import ProxyRegistry, ResourceState, ResourceStatus
from hfi_core.snapshot import NodeIdentity
from hfi_xds.ledger import Event, StaleNonce, UnknownType
from hfi_xds.metrics import XdsMetrics
from hfi_xds.reporting import Reporter
from hfi_xds.resource_types import EXTENSION_CONFIG


class Reported:
    """A reporter, and what has come of it."""

    def __init__(self) -> None:
        self.proxies, self.registry = ProxyRegistry(lambda: 1_000), CollectorRegistry()
        self.proxies.stream_opened(NodeIdentity.of("n1"))
        self._reporter = Reporter(self.proxies, XdsMetrics(self.registry))

    def report(self, *events: Event, node: str = "n1") -> None:
        self._reporter.report(node, events)

    def resources(self) -> list[tuple[str, str, str]]:
        proxy = self.proxies.get("n1")
        assert proxy is not None
        return [(status.name, status.state, status.message) for status in proxy.resources]

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0


@pytest.fixture
def reported() -> Reported:
    return Reported()


def status(state: ResourceState, message: str = "", name: str = "hfi") -> ResourceStatus:
    return ResourceStatus(EXTENSION_CONFIG, name, "0123456789abcdef", state, message)


def test_the_latest_state_of_each_resource_stands(reported: Reported) -> None:
    reported.report(status("sent"), status("acked"), status("sent", name="other"))
    assert reported.resources() == [("hfi", "acked", ""), ("other", "sent", "")]
    reported.report(status("nacked", "no"))
    assert reported.resources() == [("other", "sent", ""), ("hfi", "nacked", "no")]


@pytest.mark.parametrize(
    ("state", "metric"),
    [("acked", "hfi_xds_acks"), ("nacked", "hfi_xds_nacks"), ("not_applied", "hfi_xds_false_acks")],
)
def test_each_state_is_counted_once(reported: Reported, state: ResourceState, metric: str) -> None:
    reported.report(status("sent"), status(state))
    found = {name: reported.metric(f"{name}_total", type="ecds") for name in METRICS}
    assert found == {name: int(name == metric) for name in METRICS}


METRICS = ("hfi_xds_acks", "hfi_xds_nacks", "hfi_xds_false_acks", "hfi_xds_stale_nonce")


def test_what_is_no_state_is_counted_and_changes_none(reported: Reported) -> None:
    reported.report(status("acked"), StaleNonce(EXTENSION_CONFIG), StaleNonce("a/b"), UnknownType("a/b"))
    assert reported.resources() == [("hfi", "acked", "")]
    assert reported.metric("hfi_xds_stale_nonce_total", type="ecds") == 1
    assert reported.metric("hfi_xds_stale_nonce_total", type="other") == 1
    assert reported.metric("hfi_xds_unknown_type_total") == 1


@pytest.mark.parametrize(("state", "told"), [("acked", 0), ("sent", 0), ("nacked", 1), ("not_applied", 1)])
def test_what_an_operator_must_know_is_logged(
    reported: Reported, state: ResourceState, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    reported.report(status(state))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * told


@pytest.mark.parametrize("state", ["nacked", "not_applied"])
def test_a_clients_words_cannot_forge_a_line_of_the_log(
    reported: Reported, state: ResourceState, caplog: pytest.LogCaptureFixture
) -> None:
    reported.report(status(state, "no\nERROR forged", name="a\nb"), node="n\n1")
    [record] = caplog.records
    assert "\n" not in record.getMessage()
    assert "forged" in record.getMessage()
