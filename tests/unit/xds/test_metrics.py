from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from hfi_xds.metrics import XdsMetrics

METRICS = Path(__file__).parents[3] / "METRICS.md"


def test_the_documented_metrics_are_those_that_there_are() -> None:
    """By name and type: what people build dashboards on."""
    registry = CollectorRegistry()
    XdsMetrics(registry)
    suffix = {"counter": "_total", "gauge": ""}
    there = {(family.name + suffix[family.type], family.type) for family in registry.collect()}
    rows = re.findall(r"^\| `(hfi_xds_\w+)` \| (\w+) \|", METRICS.read_text(), re.MULTILINE)
    assert set(rows) == there
    assert len(rows) == len(there)
