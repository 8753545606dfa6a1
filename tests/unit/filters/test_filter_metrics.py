from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from hfi_core.filters.metrics import FilterCollector
from hfi_core.filters.state import MANIFESTS
from hfi_core.store.memory import MemoryStore
from tests.unit.filters.guarding import CANARY, Flaky, Replica, started


def metrics(one: Replica) -> list[str]:
    registry = CollectorRegistry()
    registry.register(FilterCollector(one.filters, one.rollouts, one.proxies, one.version_of))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


#: As METRICS.md has them.
SHOWN = [
    *(f'hfi_filter_rollbacks_total{{cause="{cause}"}} 0.0' for cause in ("operator", "rejected", "errors", "silent")),
    "hfi_filter_modules 2.0",
    "hfi_filter_values_broken 1.0",
    'hfi_filter_rollout{state="running"} 1.0',
    *(f'hfi_filter_rollout{{state="{state}"}} 0.0' for state in ("paused", "completed", "rolled_back")),
    "hfi_filter_rollout_share_ratio 0.0",
    'hfi_filter_nodes{module="stable",state="applied"} 1.0',
    'hfi_filter_nodes{module="stable",state="waiting"} 0.0',
    'hfi_filter_nodes{module="stable",state="rejected"} 0.0',
    'hfi_filter_nodes{module="candidate",state="applied"} 0.0',
    'hfi_filter_nodes{module="candidate",state="waiting"} 1.0',
    'hfi_filter_nodes{module="candidate",state="rejected"} 0.0',
]


async def test_all_of_it_is_shown_in_metrics(one: Replica, store: Flaky) -> None:
    await store.put(MANIFESTS + "broken", b"{")
    await started(one)
    one.connect(CANARY, "sent")
    assert metrics(one) == SHOWN
    document = await one.rollouts.advance(50)
    assert document.active is not None
    assert "hfi_filter_rollout_share_ratio 0.5" in metrics(one)


async def test_what_was_taken_back_is_counted(one: Replica) -> None:
    await started(one)
    one.connect(CANARY, "nacked")
    await one.back()
    assert 'hfi_filter_rollbacks_total{cause="rejected"} 1.0' in metrics(one)
    assert 'hfi_filter_rollout{state="rolled_back"} 1.0' in metrics(one)


def test_before_the_store_is_read_there_is_little_to_show() -> None:
    assert metrics(Replica(MemoryStore())) == SHOWN[:4]


def test_the_metrics_are_those_that_are_documented() -> None:
    names = {line.partition("{")[0].partition(" ")[0] for line in SHOWN}
    documented = (Path(__file__).parents[3] / "METRICS.md").read_text()
    assert names == set(re.findall(r"^\| `(hfi_filter_\w+)` \|", documented, re.MULTILINE))
