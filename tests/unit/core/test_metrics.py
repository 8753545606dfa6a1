from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from hfi_core.dataplane import DataPlane
from hfi_core.dataplane.histograms import Recorded
from hfi_core.feed import Feed
from hfi_core.metrics import HfiCollector
from hfi_core.proxies import ProxyRegistry
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.memory import MemoryStore
from tests.unit.core.conftest import Clock


def text(collector: HfiCollector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(collector)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


async def test_what_is_known_is_shown(store: MemoryStore, feed: Feed, clock: Clock) -> None:
    plane, proxies = DataPlane(), ProxyRegistry(clock)
    counters = {"total_requests": 5, "rule~injected~p~r~abort": 2, "rule~skipped~p~r~limit": 3}
    plane.counters.observe("n", {f"wasmcustom.hfi.{name}": value for name, value in counters.items()})
    plane.gauges.observe("n", {"wasmcustom.hfi.active_delays": 4, "wasmcustom.hfi.snapshot_age_seconds": 7})
    proxies.stream_opened(NodeIdentity.of("n"))
    proxies.rules_reached(NodeIdentity.of("m"), 1, "e")
    await store.put("broken", b"{")
    await feed.reached(1)
    clock.now += 1_500
    lines = text(HfiCollector(plane, proxies, feed))
    assert [line for line in lines if not line.startswith(("hfi_delay_seconds", "hfi_takeover_seconds"))] == [
        "hfi_requests_total 5.0",
        "hfi_rules_matched_total 0.0",
        "hfi_faults_injected_total 0.0",
        "hfi_errors_total 0.0",
        'hfi_rule_injected_total{kind="abort",policy="p",rule="r"} 2.0',
        'hfi_rule_skipped_total{policy="p",reason="limit",rule="r"} 3.0',
        "hfi_active_delays 4.0",
        "hfi_snapshot_age_seconds 7.0",
        "hfi_snapshot_version 1.0",
        "hfi_policies 0.0",
        "hfi_policies_broken 1.0",
        "hfi_feed_age_seconds 1.5",
        'hfi_proxies{state="connected"} 1.0',
        'hfi_proxies{state="gone"} 1.0',
    ]


def test_before_the_store_has_been_read_there_is_no_snapshot_to_show() -> None:
    lines = text(HfiCollector(DataPlane(), ProxyRegistry(), Feed(MemoryStore())))
    assert not [line for line in lines if line.startswith(("hfi_snapshot", "hfi_feed_age"))]


def test_histograms_are_told_in_seconds() -> None:
    plane = DataPlane()
    recorded = {
        "delay_ms": Recorded(3, 4_000_350.0, [(50.0, 1), (250.0, 2)]),
        "takeover_us": Recorded(1, 5.0, [(5.0, 1)]),
    }
    plane.histograms.observe({f"wasmcustom.hfi.{name}": one for name, one in recorded.items()})
    lines = text(HfiCollector(plane, ProxyRegistry(), Feed(MemoryStore())))
    assert set(lines) >= {
        'hfi_delay_seconds_bucket{le="0.025"} 0.0',
        'hfi_delay_seconds_bucket{le="0.05"} 1.0',
        'hfi_delay_seconds_bucket{le="0.25"} 2.0',
        'hfi_delay_seconds_bucket{le="3600.0"} 2.0',
        'hfi_delay_seconds_bucket{le="+Inf"} 3.0',
        "hfi_delay_seconds_count 3.0",
        "hfi_delay_seconds_sum 4000.35",
        'hfi_takeover_seconds_bucket{le="1e-06"} 0.0',
        'hfi_takeover_seconds_bucket{le="5e-06"} 1.0',
        "hfi_takeover_seconds_sum 5e-06",
    }
