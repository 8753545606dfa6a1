"""Each way to hold a request or its response back, by HTTP/1.1 and by HTTP/2."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_delayed, assert_passed, delay, rule
from tests.support.reply import body_of, wanted
from tests.support.traffic import CutOff, Wire
from tests.support.waiting import eventually

ACTIVE = "wasmcustom.hfi.active_delays"
#: How much later than asked for an answer may be, on a machine that does other things too.
LATE_SECONDS = 1.5


async def test_a_response_is_held_when_the_upstream_has_answered(ring: Ring, wire: Wire) -> None:
    await ring.inject(delay=delay("3s", phase="response"))
    async with ring.connections(1, wire=wire) as [connection]:
        await connection.send(ring.path)
        await eventually(lambda: ring.reached, what="the request at the upstream")
        await eventually(lambda: ring.sidecar.stat(ACTIVE) == 1, what="one held response")
        answer = await connection.read()
    assert_delayed(answer, 3)
    assert answer.seconds < 3 + LATE_SECONDS
    await ring.counted({"matched~r~any": 1, "injected~r~delay": 1})


@pytest.mark.parametrize("asked", [{"length": 5_000_000}, {"length": 5_000_000, "chunked": True}, {"status": 204}])
async def test_a_held_response_arrives_whole(ring: Ring, wire: Wire, asked: dict[str, Any]) -> None:
    """More of it than Envoy buffers, for what is held is its head."""
    await ring.inject(delay=delay("200ms", phase="response"))
    answer = await ring.ask(headers=[wanted(**asked)], wire=wire)
    assert answer.status == asked.get("status", 200)
    assert answer.body == body_of(asked.get("length", 0))
    assert answer.seconds >= 0.2


async def test_a_response_to_head_is_held(ring: Ring, wire: Wire) -> None:
    await ring.inject(delay=delay("200ms", phase="response"))
    answer = await ring.ask(method="HEAD", wire=wire)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.seconds >= 0.2


async def test_a_start_delay_and_a_delay_of_the_response_both_are_waited_for(ring: Ring, wire: Wire) -> None:
    await ring.inject(start_delay_ms=200, delay=delay("200ms", phase="response"))
    answer = await ring.ask(wire=wire)
    assert_delayed(answer, 0.4)
    assert answer.seconds < 0.4 + LATE_SECONDS


@pytest.mark.parametrize("phase", ["request", "response"])
async def test_five_megabytes_arrive_whole_after_their_delay(ring: Ring, wire: Wire, phase: str) -> None:
    await ring.inject(delay=delay("300ms", phase=phase))
    body = body_of(5_000_000)
    answer = await ring.ask(method="PUT", body=body, wire=wire)
    assert_delayed(answer, 0.3)
    [seen] = ring.reached
    assert (seen.length, seen.sha256) == (len(body), hashlib.sha256(body).hexdigest())


def held_in_both_phases(ring: Ring, time: str) -> Any:
    return ring.policy(
        rule("request", f"{ring.path}/request", delay=delay(time)),
        rule("response", f"{ring.path}/response", delay=delay(time, phase="response")),
    )


async def test_clients_that_leave_free_their_places_at_once(ring: Ring, wire: Wire) -> None:
    await ring.apply(held_in_both_phases(ring, "60s"))
    async with ring.connections(6, wire=wire) as opened:
        for number, connection in enumerate(opened):
            await connection.send(f"{ring.path}/{('request', 'response')[number % 2]}")
        await eventually(lambda: ring.sidecar.stat(ACTIVE) == 6, what="all of them held")
        for connection in opened[:2]:
            connection.abandon()
        await eventually(lambda: ring.sidecar.stat(ACTIVE) == 4, what="two places free")
        for connection in opened[2:]:
            connection.abandon()
        await eventually(lambda: ring.sidecar.stat(ACTIVE) == 0, what="every place free")
    assert [seen.path for seen in ring.reached] == [f"{ring.path}/response"] * 3
    assert_passed(await ring.ask("/other", wire=wire))


async def test_what_is_held_keeps_its_rule_when_the_policy_goes(ring: Ring, wire: Wire) -> None:
    await ring.apply(held_in_both_phases(ring, "3s"))
    async with ring.connections(2, wire=wire) as [first, second]:
        await first.send(f"{ring.path}/request")
        await second.send(f"{ring.path}/response")
        await eventually(lambda: ring.sidecar.stat(ACTIVE) == 2, what="two held")
        await ring.arrived(await ring.api.delete(ring.name))
        assert_delayed(await first.read(), 3)
        assert_delayed(await second.read(), 3)


async def test_an_abort_after_a_drawn_delay(ring: Ring, wire: Wire) -> None:
    await ring.inject(delay={"uniform": {"min": "100ms", "max": "200ms"}}, abort=abort(504))
    answer = await ring.ask(wire=wire)
    assert_aborted(answer, 504)
    assert 0.1 <= answer.seconds < 0.2 + LATE_SECONDS
    assert ring.reached == []
    await ring.counted({"matched~r~any": 1, "injected~r~delay_abort": 1})


async def test_a_held_response_is_changed_and_cut_when_its_time_comes(ring: Ring, wire: Wire) -> None:
    await ring.apply(
        ring.policy(
            rule("body", f"{ring.path}/body", delay=delay("200ms", phase="response"), response={"body": "late"}),
            rule(
                "cut", f"{ring.path}/cut",
                delay=delay("200ms", phase="response"), response={"truncate": {"bytes": 1000}},
            ),
        )
    )  # fmt: skip
    answer = await ring.ask("/body", headers=[wanted(length=5_000_000)], wire=wire)
    assert answer.body == b"late"
    assert answer.seconds >= 0.2
    with pytest.raises(CutOff) as cut:
        await ring.ask("/cut", headers=[wanted(length=5_000_000)], wire=wire)
    assert (cut.value.status, cut.value.body) == (200, body_of(1000))
