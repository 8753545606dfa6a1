from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from hfi_core.dataplane import DataPlaneCounters
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
    counters, proxies = DataPlaneCounters(), ProxyRegistry(clock)
    counters.observe("n", {"wasmcustom.hfi.total_requests": 5, "wasmcustom.hfi.rule~injected~p~r~abort": 2})
    proxies.stream_opened(NodeIdentity.of("n"))
    proxies.rules_reached(NodeIdentity.of("m"), 1, "e")
    await store.put("broken", b"{")
    await feed.reached(1)
    clock.now += 1_500
    assert text(HfiCollector(counters, proxies, feed)) == [
        "hfi_requests_total 5.0",
        "hfi_rules_matched_total 0.0",
        "hfi_faults_injected_total 0.0",
        "hfi_errors_total 0.0",
        'hfi_rule_injected_total{kind="abort",policy="p",rule="r"} 2.0',
        "hfi_snapshot_version 1.0",
        "hfi_policies 0.0",
        "hfi_policies_broken 1.0",
        "hfi_feed_age_seconds 1.5",
        'hfi_proxies{state="connected"} 1.0',
        'hfi_proxies{state="gone"} 1.0',
    ]


def test_before_the_store_has_been_read_there_is_no_snapshot_to_show() -> None:
    lines = text(HfiCollector(DataPlaneCounters(), ProxyRegistry(), Feed(MemoryStore())))
    assert not [line for line in lines if line.startswith(("hfi_snapshot", "hfi_feed_age"))]
