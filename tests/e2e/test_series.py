"""How many series the filter makes for rules: no more than so many, however many rules come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, rule
from tests.e2e.stack import Stack
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually, eventually_async

#: Of one VM (`MOST_SERIES` in the plugin), and so of this proxy: it has one worker.
MOST = 2_000
POLICIES, RULES = 5, 250
#: Each rule has two: matched and injected.
HAVE_THEIR_OWN = MOST // 2
TOTAL = POLICIES * RULES
SERIES = "wasmcustom[.]hfi[.]rule~.*"


@pytest.fixture(scope="module")
def sidecar(stack: Stack, processes: Processes) -> Iterator[Sidecar]:
    counting = Sidecar(processes, stack.control, stack.upstream.port, node="series-1", cluster="series", workers=1)
    try:
        yield counting.start()
    finally:
        counting.stop()


@pytest.fixture
async def ring(stack: Stack, sidecar: Sidecar) -> AsyncIterator[Ring]:
    async with stack.ring(sidecar) as ring:
        yield ring


def policies(ring: Ring) -> list[dict[str, Any]]:
    return [
        ring.policy(
            *(rule(f"r{number}", f"{ring.path}/{policy}/{number}", abort=abort()) for number in range(RULES)),
            name=f"p{policy}",
            selector={"cluster": "series"},
        )
        for policy in range(POLICIES)
    ]


async def ask_each(ring: Ring) -> None:
    paths = [f"{ring.path}/{policy}/{number}" for policy in range(POLICIES) for number in range(RULES)]
    async with ring.connections(5) as opened:

        async def ask(at: int) -> None:
            for path in paths[at :: len(opened)]:
                assert_aborted(await opened[at].request(path))

        await asyncio.gather(*(ask(at) for at in range(len(opened))))


def counted(ring: Ring) -> tuple[int, dict[str, int], int]:
    """How many series there are, those that rules have in common, and the sum of what was injected."""
    series = ring.sidecar.stats(SERIES)
    common = {name.split("hfi.rule~")[1]: count for name, count in series.items() if "~_other~" in name}
    return len(series), common, ring.sidecar.stat("wasmcustom.hfi.faults_injected")


async def reported(ring: Ring) -> dict[str, Any]:
    """What the control plane knows of the rules that found no room; of proxies of all tests, so of this one alone."""
    rules = (await ring.api.get("/v1/metrics"))["rules"]
    return next((entry for entry in rules if entry["policy"] == "_other"), {})


async def test_rules_beyond_the_bound_are_counted_together_and_none_is_defined_twice(ring: Ring) -> None:
    await ring.apply(*policies(ring))
    for asked in (1, 2):
        await ask_each(ring)
        common = asked * (TOTAL - HAVE_THEIR_OWN)
        wanted = (MOST + 2, dict.fromkeys(("matched~_other~_other~any", "injected~_other~_other~abort"), common))
        await eventually(lambda asked=asked, wanted=wanted: counted(ring) == (*wanted, asked * TOTAL), what=f"{wanted}")
        # The rules are gone, and back: those that have series go on with them.
        await ring.clear()
        await ring.apply(*policies(ring))
    # Those that come after them find no room either.
    await ring.clear()
    new = rule("new", ring.path, percentage=50, abort=abort())
    await ring.apply(ring.policy(new, seed=1, selector={"cluster": "series"}))
    for _ in range(20):
        await ring.ask()
    await eventually(lambda: counted(ring)[1].get("matched~_other~_other~any") == common + 20, what="20 more")
    series, found, _ = counted(ring)
    assert series == MOST + 3
    assert found["injected~_other~_other~abort"] - common + found["skipped~_other~_other~percentage"] == 20

    async def same() -> bool:
        entry = await reported(ring)
        return entry.get("matched") == found["matched~_other~_other~any"] and entry["rule"] == "_other"

    await eventually_async(same, what="the same in the control plane")
    assert (await reported(ring))["injected"] == {"abort": found["injected~_other~_other~abort"]}
