"""What a fault does to a request, on a real Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_delayed, assert_passed, delay, rule
from tests.support.binomial import least, most
from tests.support.traffic import statuses, volley

#: How much later than asked for an answer may be, on a machine that does other things too.
LATE_SECONDS = 1.5
REQUESTS = 10_000


async def test_an_abort_answers_in_the_upstreams_place(ring: Ring) -> None:
    answered = abort(418, body="short and stout\n", headers={"Retry-After": "3", "x-reason": "a test"})
    await ring.inject(abort=answered)

    answer = await ring.ask()

    assert answer.status == 418
    assert answer.body == b"short and stout\n"
    assert answer.header("retry-after") == "3"
    assert answer.header("x-reason") == "a test"
    assert answer.header("x-hfi-fault") == f"{ring.name}/r"
    assert ring.reached == []
    assert_passed(await ring.ask("/other"))
    assert [seen.path for seen in ring.reached] == [f"{ring.path}/other"]


async def test_an_abort_without_a_body_has_none(ring: Ring) -> None:
    await ring.inject(abort=abort(503))
    answer = await ring.ask()
    assert (answer.status, answer.body) == (503, b"")


@pytest.mark.parametrize("status", [200, 204, 302, 404, 429, 500, 599])
async def test_every_kind_of_status_can_be_answered(ring: Ring, status: int) -> None:
    await ring.inject(abort=abort(status))
    assert_aborted(await ring.ask(), status)
    assert ring.reached == []


async def test_a_body_of_the_greatest_length_arrives_whole(ring: Ring) -> None:
    body = "0123456789abcdef" * 4096
    await ring.inject(abort=abort(500, body=body))
    assert (await ring.ask()).body == body.encode()


async def test_an_abort_answers_a_request_with_a_body(ring: Ring) -> None:
    await ring.inject(abort=abort(503))
    assert_aborted(await ring.ask(method="POST", body=b"x" * 100_000))
    assert ring.reached == []


async def test_a_delay_holds_the_request_and_lets_it_go_on(ring: Ring) -> None:
    await ring.inject(delay=delay("300ms"))
    async with ring.connections(4) as opened:
        answers = await volley(opened, 8, ring.path)
    for answer in answers:
        assert_delayed(answer, 0.3)
        assert answer.seconds < 0.3 + LATE_SECONDS
    assert len(ring.reached) == 8


async def test_a_delay_is_waited_for_and_then_the_request_aborted(ring: Ring) -> None:
    await ring.inject(start_delay_ms=100, delay=delay("0.2s"), abort=abort(504, body="late"))
    answer = await ring.ask()
    assert_aborted(answer, 504)
    assert answer.body == b"late"
    assert 0.3 <= answer.seconds < 0.3 + LATE_SECONDS
    assert ring.reached == []


async def test_a_start_delay_comes_before_an_abort_that_has_no_delay(ring: Ring) -> None:
    await ring.inject(start_delay_ms=250, abort=abort(503))
    answer = await ring.ask()
    assert_aborted(answer)
    assert 0.25 <= answer.seconds < 0.25 + LATE_SECONDS


async def test_many_delays_at_once_do_not_add_up(ring: Ring) -> None:
    await ring.inject(delay=delay("400ms"))
    async with ring.connections(200) as opened:
        answers = await volley(opened, 200, ring.path)
    assert statuses(answers) == {200: 200}
    assert min(answer.seconds for answer in answers) >= 0.4
    assert max(answer.seconds for answer in answers) < 0.4 + LATE_SECONDS


async def test_a_short_delay_does_not_wait_for_a_long_one(ring: Ring) -> None:
    await ring.apply(
        ring.policy(
            rule("long", f"{ring.path}/long", delay=delay("2s")),
            rule("short", f"{ring.path}/short", delay=delay("50ms")),
        )
    )
    async with ring.connections(40) as opened:
        for connection in opened[:20]:
            await connection.send(f"{ring.path}/long")
        short = [await connection.request(f"{ring.path}/short") for connection in opened[20:]]
        long = [await connection.read() for connection in opened[:20]]
    assert all(0.05 <= answer.seconds < 1.5 for answer in short), [answer.seconds for answer in short]
    assert all(2.0 <= answer.seconds < 2.0 + LATE_SECONDS for answer in long)


#: By the exact bounds of chance, from 4,700 to 5,300 of a half: a share a tenth too large or too small is beyond them.
BOUNDS = {0: (0, 0), 50: (least(REQUESTS, 0.5), most(REQUESTS, 0.5)), 100: (REQUESTS, REQUESTS)}


@pytest.mark.parametrize("percentage", BOUNDS)
async def test_of_ten_thousand_requests_the_share_asked_for_is_aborted(ring: Ring, percentage: int) -> None:
    await ring.inject(percentage=percentage, abort=abort(503))
    async with ring.connections(32) as opened:
        found = statuses(await volley(opened, REQUESTS, ring.path))
    assert set(found) <= {200, 503}
    fewest, greatest = BOUNDS[percentage]
    assert fewest <= found[503] <= greatest
    assert len(ring.reached) == found[200] == REQUESTS - found[503]


@pytest.mark.parametrize(
    ("fault", "aborted", "waits"),
    [
        ({"delay": delay("250ms", percentage=0), "abort": abort()}, True, False),
        ({"delay": delay("250ms"), "abort": abort(percentage=0)}, False, True),
        ({"delay": delay("250ms", percentage=0), "abort": abort(percentage=0)}, False, False),
        ({"delay": delay("250ms", percentage=0), "abort": abort(percentage=0), "start_delay_ms": 250}, False, False),
    ],
    ids=["no-delay", "no-abort", "neither", "neither-and-no-start-delay"],
)
async def test_a_part_rolls_by_itself_once_the_rule_has_fired(
    ring: Ring, fault: dict[str, Any], aborted: bool, waits: bool
) -> None:
    # The second rule would abort with 500: a rule that fired decides, whatever becomes of its parts.
    await ring.apply(ring.policy(rule("first", ring.path, **fault), rule("second", ring.path, abort=abort(500))))
    answer = await ring.ask()
    if aborted:
        assert_aborted(answer)
    elif waits:
        assert_delayed(answer, 0.25)
    else:
        assert_passed(answer)
    assert (answer.seconds >= 0.25) is waits


async def test_a_rule_that_misses_leaves_the_request_to_the_next(ring: Ring) -> None:
    await ring.apply(
        ring.policy(rule("half", ring.path, percentage=50, abort=abort(500)), rule("rest", ring.path, abort=abort(503)))
    )
    async with ring.connections(16) as opened:
        found = statuses(await volley(opened, 2_000, ring.path))
    assert set(found) == {500, 503}
    assert 850 <= found[500] <= 1_150  # 6.7 standard deviations
    assert ring.reached == []
