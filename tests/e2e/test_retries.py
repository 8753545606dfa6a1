"""A caller's Envoy that tries three times, in front of a proxy with faults: what faults are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, delay, rule
from tests.e2e.stack import Stack
from tests.support.calling_envoy import CallingEnvoy
from tests.support.processes import Processes
from tests.support.traffic import Answer, CutOff, Wire, connections, once, statuses, volley

ENDS: dict[str, Any] = {
    "status": {"abort": abort(503)},
    "reset": {"abort": {"reset": True}},
    "delayed": {"delay": delay("20ms"), "abort": abort(500)},
}


@pytest.fixture(scope="module")
def calling(processes: Processes, stack: Stack) -> Iterator[CallingEnvoy]:
    envoy = CallingEnvoy(processes, stack.sidecars[0].port, retries=2)
    try:
        yield envoy.start()
    finally:
        envoy.stop()


async def call(ring: Ring, calling: CallingEnvoy, wire: Wire, path: str = "") -> Answer:
    return await once(calling.port, ring.path + path, wire=wire)


@pytest.mark.parametrize("end", ENDS)
async def test_the_third_try_gets_through_when_two_are_to_fail(
    ring: Ring, calling: CallingEnvoy, wire: Wire, end: str
) -> None:
    await ring.inject(times=2, **ENDS[end])
    assert_passed(await call(ring, calling, wire))
    [seen] = ring.reached
    assert seen.values("x-envoy-attempt-count") == ["3"]
    kind = {"status": "abort", "reset": "reset", "delayed": "delay_abort"}[end]
    await ring.counted({"matched~r~any": 3, f"injected~r~{kind}": 2, "skipped~r~times": 1})


async def test_three_tries_are_not_enough_for_three_faults(ring: Ring, calling: CallingEnvoy, wire: Wire) -> None:
    await ring.inject(times=3, abort=abort())
    assert_aborted(await call(ring, calling, wire))
    assert_passed(await call(ring, calling, wire))
    assert len(ring.reached) == 1


async def test_a_rule_for_the_first_try_spares_the_others(ring: Ring, calling: CallingEnvoy, wire: Wire) -> None:
    match = {"path": {"exact": ring.path}, "attempt": {"max": 2}}
    await ring.apply(ring.policy(rule(match=match, abort=abort())))
    async with connections(calling.port, 5, wire=wire) as opened:
        found = statuses(await volley(opened, 50, ring.path))
    assert found == {200: 50}
    await ring.counted({"matched~r~any": 100, "injected~r~abort": 100})


async def test_a_sequence_is_spent_by_tries_and_not_by_calls(ring: Ring, calling: CallingEnvoy, wire: Wire) -> None:
    await ring.inject(sequence=[503, "pass", 503, 503, "pass"])
    for _ in range(2):
        assert_passed(await call(ring, calling, wire))
    assert [seen.values("x-envoy-attempt-count") for seen in ring.reached] == [["2"], ["3"]]


async def test_a_try_that_fails_for_what_the_upstream_said(ring: Ring, calling: CallingEnvoy, wire: Wire) -> None:
    await ring.inject(times=2, response={"status": 500})
    assert_passed(await call(ring, calling, wire))
    assert len(ring.reached) == 3


async def test_a_body_that_is_cut_is_not_tried_again(ring: Ring, calling: CallingEnvoy, wire: Wire) -> None:
    """Its head has gone to the caller already: that is how a cut differs from a reset."""
    await ring.inject(times=2, response={"truncate": {"bytes": 10}})
    with pytest.raises(CutOff) as cut:
        await call(ring, calling, wire)
    assert (cut.value.status, len(cut.value.body)) == (200, 10)
    assert len(ring.reached) == 1
