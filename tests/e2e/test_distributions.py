"""Delays that are drawn: what the filter says that it drew, and that the answers take as long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.ring import Ring, assert_delayed
from tests.e2e.stack import Stack
from tests.support.binomial import least, most
from tests.support.processes import Processes
from tests.support.sidecar import Histogram, Sidecar
from tests.support.traffic import Wire, volley
from tests.support.waiting import eventually

DELAY_MS = "hfi.delay_ms"
REQUESTS = 200


@pytest.fixture(scope="module")
def sidecar(stack: Stack, processes: Processes) -> Iterator[Sidecar]:
    """Whose histogram has nothing of other tests: Envoy shows it a second late, and cannot be asked for less."""
    drawing = Sidecar(processes, stack.control, stack.upstream.port, node="drawing-1", cluster="drawing")
    try:
        yield drawing.start()
    finally:
        drawing.stop()


@pytest.fixture
async def ring(stack: Stack, sidecar: Sidecar) -> AsyncIterator[Ring]:
    async with stack.ring(sidecar) as ring:
        yield ring


@dataclass(frozen=True)
class Drawn:
    """A distribution: it draws no less than ``least`` ms, nothing up to ``low`` and all up to ``high``. Half of all is
    up to ``median``, where that is given. The last three are bounds of Envoy's histograms."""

    delay: dict[str, Any]
    least: float
    low: float
    median: float
    high: float


DRAWN = [
    pytest.param(Drawn({"fixedDelay": "30ms"}, 30, 25, 0, 50), id="fixed"),
    pytest.param(Drawn({"uniform": {"min": "12ms", "max": "88ms"}}, 12, 10, 50, 100), id="uniform"),
    pytest.param(Drawn({"normal": {"mean": "50ms", "stddev": "8ms", "max": "99ms"}}, 1, 1, 50, 100), id="normal"),
    # Two of five would be above the bucket that all have to be in.
    pytest.param(
        Drawn({"normal": {"mean": "240ms", "stddev": "38ms", "max": "248ms"}}, 10, 10, 0, 250), id="normal-cut"
    ),
    pytest.param(
        Drawn({"logNormal": {"median": "50ms", "sigma": 1.5, "max": "240ms"}}, 0, 0, 50, 250), id="log-normal-cut"
    ),
    # Half of all are below scale * 2^(1 / shape).
    pytest.param(Drawn({"pareto": {"scale": "25ms", "shape": 1, "max": "240ms"}}, 25, 10, 50, 250), id="pareto-cut"),
    pytest.param(
        Drawn({"percentiles": {"p0": "12ms", "p50": "50ms", "p99.9": "240ms"}}, 12, 10, 50, 250), id="percentiles"
    ),
]


@pytest.mark.parametrize("drawn", DRAWN)
async def test_delays_are_drawn_as_the_policy_says(ring: Ring, wire: Wire, drawn: Drawn) -> None:
    before = ring.sidecar.histogram(DELAY_MS)
    await ring.inject(delay=drawn.delay)
    async with ring.connections(50, wire=wire) as opened:
        answers = await volley(opened, REQUESTS, ring.path)
    for answer in answers:
        assert_delayed(answer, drawn.least / 1000)

    def counted() -> Histogram | None:
        found = ring.sidecar.histogram(DELAY_MS).since(before)
        return found if found.count >= REQUESTS else None

    buckets = (await eventually(counted, what=f"{REQUESTS} delays counted")).buckets
    assert max(buckets.values()) == buckets[drawn.high] == REQUESTS, buckets
    assert buckets.get(drawn.low, 0) == 0, buckets
    if drawn.median:
        # Whole milliseconds in buckets of one: which side the median's own are on is left open, beside chance.
        below = buckets[drawn.median]
        assert least(REQUESTS, 0.4) <= below <= most(REQUESTS, 0.6), buckets
        # And it takes as long as it says: no more of the answers can be early than of the draws.
        early = sum(answer.seconds * 1000 < drawn.median for answer in answers)
        assert early <= most(REQUESTS, 0.5)
