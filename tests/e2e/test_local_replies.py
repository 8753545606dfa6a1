"""What Envoy answers itself, because it reaches no application: rules do to it what they do to any response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.e2e.ring import Ring, delay, rule
from tests.e2e.stack import Stack
from tests.support.processes import Processes, free_ports
from tests.support.sidecar import Sidecar
from tests.support.traffic import CutOff, Wire

#: Envoy's words.
UNREACHABLE = b"upstream connect error or disconnect/reset before headers"


@pytest.fixture(scope="module")
def sidecar(stack: Stack, processes: Processes) -> Iterator[Sidecar]:
    [nobody] = free_ports(1)
    alone = Sidecar(processes, stack.control, nobody, node="alone-1", cluster="alone", workers=1)
    try:
        yield alone.start()
    finally:
        alone.stop()


@pytest.fixture
async def ring(stack: Stack, sidecar: Sidecar) -> AsyncIterator[Ring]:
    async with stack.ring(sidecar) as ring:
        yield ring


@pytest.mark.parametrize("match", [{}, {"response": {"status": {"min": 500}}}], ids=["request", "response"])
async def test_an_answer_of_envoys_own_is_held_changed_and_cut(ring: Ring, wire: Wire, match: dict[str, Any]) -> None:
    def here(name: str, **fault: Any) -> Any:
        return rule(name, match={"path": {"exact": f"{ring.path}/{name}"}, **match}, **fault)

    await ring.apply(
        ring.policy(
            here("held", delay=delay("200ms", phase="response")),
            here("body", response={"body": "new", "status": 200}),
            here("cut", response={"truncate": {"bytes": 8}}),
            here("late-cut", delay=delay("50ms", phase="response"), response={"truncate": {"bytes": 8}}),
        )
    )
    answer = await ring.ask("/held", wire=wire)
    assert (answer.status, answer.header("x-hfi-fault")) == (503, f"{ring.name}/held")
    assert answer.body.startswith(UNREACHABLE)
    assert answer.seconds >= 0.2
    answer = await ring.ask("/body", wire=wire)
    assert (answer.status, answer.body) == (200, b"new")
    # All of it comes in one chunk, with the end: also by HTTP/1.1, as from an upstream of HTTP/2.
    for name in ("cut", "late-cut"):
        with pytest.raises(CutOff) as cut:
            await ring.ask(f"/{name}", wire=wire)
        assert (cut.value.status, cut.value.body) == (503, UNREACHABLE[:8])
    answer = await ring.ask("/other", wire=wire)
    assert (answer.status, answer.header("x-hfi-fault")) == (503, None)
