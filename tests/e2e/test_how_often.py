"""How often a rule acts: counted over four workers, and reproducible where the policy says so."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, delay, rule
from tests.support.binomial import least, most
from tests.support.traffic import Client, Wire, statuses, volley
from tests.support.waiting import eventually, eventually_async

ACTIVE = "wasmcustom.hfi.active_delays"
#: After so long without a word of it, a worker's places are free (`GONE_AFTER` in the engine).
BELIEVED_SECONDS = 20.0
USERS = [f"user-{number}" for number in range(100)]


async def everywhere(ring: Ring, opened: list[Client], path: str, status: int) -> None:
    """Wait until every connection, so every worker that has one, runs by the rules that answer with this status."""

    async def all_of_it() -> bool:
        return set(statuses([await one.request(path) for one in opened])) == {status}

    deadline = time.monotonic() + 10
    while not await all_of_it():
        assert time.monotonic() < deadline, f"not every worker answers {status}"


async def test_only_the_first_of_many_parallel_requests_and_never_more(wide_ring: Ring, wire: Wire) -> None:
    """Rules that count begin anew when the policy is applied anew, in every worker at once."""
    ring = wide_ring
    for status in (503, 504, 503):
        canary = rule("canary", f"{ring.path}/canary", abort=abort(status - 3))
        await ring.apply(ring.policy(canary, rule("first", ring.path, times=50, abort=abort(status))))
        async with ring.connections(40, wire=wire) as opened:
            await everywhere(ring, opened, f"{ring.path}/canary", status - 3)
            found = statuses(await volley(opened, 400, ring.path))
        assert found == {status: 50, 200: 350}


async def test_the_first_of_all_is_counted_once(wide_ring: Ring) -> None:
    """Many workers find at the same time that nobody has counted yet; for many rules, so that it does happen."""
    ring = wide_ring
    count = 250
    rules = [rule(f"r{number}", f"{ring.path}/{number}", times=1, abort=abort()) for number in range(count)]
    await ring.apply(ring.policy(*rules))
    async with ring.connections(16) as opened:
        for number in range(count):
            answers = await asyncio.gather(*(one.request(f"{ring.path}/{number}") for one in opened))
            assert statuses(answers) == {503: 1, 200: 15}, number


async def test_what_was_applied_anew_without_a_change_begins_anew(wide_ring: Ring) -> None:
    ring = wide_ring
    for _ in range(3):
        await ring.inject(times=1, abort=abort())
        async with ring.connections(1) as [connection]:
            found = [(await connection.request(ring.path)).status for _ in range(3)]
        assert found == [503, 200, 200]
    await ring.counted({"matched~r~any": 9, "injected~r~abort": 3, "skipped~r~times": 6})


async def test_another_policy_does_not_begin_anew(ring: Ring) -> None:
    await ring.inject(times=1, abort=abort())
    assert_aborted(await ring.ask())
    await ring.apply(ring.policy(rule(path=f"{ring.path}/other", abort=abort()), name="other"))
    assert_aborted(await ring.ask("/other"))
    assert_passed(await ring.ask())


async def test_each_proxy_counts_for_itself(ring: Ring) -> None:
    await ring.inject(times=2, abort=abort())
    for sidecar in ring.sidecars:
        assert [(await ring.ask(by=sidecar)).status for _ in range(3)] == [503, 503, 200]


async def test_a_rule_that_is_used_up_leaves_requests_to_the_next(ring: Ring) -> None:
    await ring.apply(ring.policy(rule("first", ring.path, times=1, abort=abort(501)), rule("rest", abort=abort(502))))
    assert [(await ring.ask()).status for _ in range(3)] == [501, 502, 502]


async def test_a_sequence_goes_round(ring: Ring, wire: Wire) -> None:
    await ring.inject(sequence=[503, 429, "pass"])
    async with ring.connections(1, wire=wire) as [connection]:
        found = [(await connection.request(ring.path)).status for _ in range(7)]
    assert found == [503, 429, 200, 503, 429, 200, 503]
    await ring.counted({"matched~r~any": 7, "injected~r~abort": 5, "skipped~r~times": 2})


async def test_a_sequence_is_one_over_all_workers(wide_ring: Ring, wire: Wire) -> None:
    ring = wide_ring
    await ring.inject(sequence=[503, 503, "pass", 504])
    async with ring.connections(40, wire=wire) as opened:
        found = statuses(await volley(opened, 400, ring.path))
    assert found == {503: 200, 200: 100, 504: 100}


async def test_a_sequence_and_times_share_one_count(ring: Ring) -> None:
    await ring.inject(times=4, sequence=[503, "pass"])
    async with ring.connections(1) as [connection]:
        found = [(await connection.request(ring.path)).status for _ in range(7)]
    assert found == [503, 200, 503, 200, 200, 200, 200]


def sticky(ring: Ring, seed: int, percentage: float = 50) -> object:
    here = rule(path=ring.path, percentage=percentage, sticky={"header": "X-User-Id"}, abort=abort())
    return ring.policy(here, seed=seed)


async def verdicts(ring: Ring, connection: Client) -> list[int]:
    return [(await connection.request(ring.path, headers=[("x-user-id", user)])).status for user in USERS]


async def test_the_same_user_falls_the_same_way_on_every_proxy_and_always(ring: Ring, wire: Wire) -> None:
    found = []
    for seed in (1, 1, 2):
        await ring.apply(sticky(ring, seed))
        for sidecar in ring.sidecars:
            async with ring.connections(1, by=sidecar, wire=wire) as [connection]:
                found += [await verdicts(ring, connection), await verdicts(ring, connection)]
    assert all(one == found[0] for one in found[:8])
    assert all(one == found[8] for one in found[8:])
    assert found[0] != found[8], "another seed is another choice"
    for one in (found[0], found[8]):
        assert least(len(USERS), 0.5) <= one.count(503) <= most(len(USERS), 0.5)


async def test_more_percent_are_the_same_users_and_others(ring: Ring) -> None:
    chosen = []
    async with ring.connections(1) as [connection]:
        for percentage in (20, 60, 100):
            await ring.apply(sticky(ring, 7, percentage))
            found = await verdicts(ring, connection)
            chosen.append({user for user, status in zip(USERS, found, strict=True) if status == 503})
    assert chosen[0] < chosen[1] < chosen[2] == set(USERS)


async def test_a_seeded_run_is_the_same_whenever_and_wherever_it_starts(ring: Ring, wire: Wire) -> None:
    here = rule(path=ring.path, percentage=50, abort=abort(percentage=50), delay=delay("1ms", percentage=50))
    runs: dict[int, list[list[int]]] = {1: [], 2: []}
    for seed in (1, 1, 2):
        await ring.apply(ring.policy(here, seed=seed))
        for sidecar in ring.sidecars:
            async with ring.connections(1, by=sidecar, wire=wire) as [connection]:
                runs[seed].append([(await connection.request(ring.path)).status for _ in range(80)])
    for found in runs.values():
        assert all(one == found[0] for one in found)
        assert least(80, 0.25) <= found[0].count(503) <= most(80, 0.25)
    assert runs[1][0] != runs[2][0]


@pytest.mark.parametrize("phase", ["request", "response"])
async def test_no_more_are_held_at_once_than_the_policy_allows(wide_ring: Ring, wire: Wire, phase: str) -> None:
    ring = wide_ring
    held = rule(path=ring.path, delay=delay("20s", phase=phase))
    await ring.apply(ring.policy(held, limits={"maxActive": 5}))
    async with ring.connections(20, wire=wire) as opened:
        for connection in opened:
            await connection.send(ring.path)
        # Those that found no place are answered: by now, and by the application.
        await ring.counted({"matched~r~any": 20, "injected~r~delay": 5, "skipped~r~limit": 15})
        assert ring.sidecar.stat(ACTIVE) == 5
        assert len(ring.reached) == (20 if phase == "response" else 15)
    await eventually(lambda: ring.sidecar.stat(ACTIVE) == 0, what="no held request")
    # Whose clients left have given their places back.
    async with ring.connections(20, wire=wire) as opened:
        for connection in opened:
            await connection.send(ring.path)
        await ring.counted({"matched~r~any": 40, "injected~r~delay": 10, "skipped~r~limit": 30})
        assert ring.sidecar.stat(ACTIVE) == 5


async def test_the_first_place_of_all_is_taken_once(wide_ring: Ring) -> None:
    ring = wide_ring
    names = [f"p{number}" for number in range(20)]
    await ring.apply(
        *(
            ring.policy(rule(path=f"{ring.path}/{name}", delay=delay("60s")), name=name, limits={"maxActive": 1})
            for name in names
        )
    )
    async with AsyncExitStack() as stack:
        for name in names:
            opened = await stack.enter_async_context(ring.connections(12))
            await asyncio.gather(*(one.send(f"{ring.path}/{name}") for one in opened))
        for name in names:
            await ring.counted({"matched~r~any": 12, "injected~r~delay": 1, "skipped~r~limit": 11}, name)


async def test_a_place_is_free_again_after_its_delay(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, delay=delay("100ms"), abort=abort()), limits={"maxActive": 1}))
    async with ring.connections(1) as [connection]:
        for _ in range(5):
            assert_aborted(await connection.request(ring.path))


async def test_a_place_stays_taken_for_as_long_as_its_response_lets_wait(ring: Ring) -> None:
    """For longer than a worker is believed that says nothing: it says again and again that the place is taken."""
    held = rule(path={"prefix": ring.path}, delay=delay("1ms", phase="response"))
    await ring.apply(ring.policy(held, limits={"maxActive": 1}))
    async with ring.connections(2) as [waiting, other]:
        # The upstream waits for a body that does not come.
        await waiting.send(f"{ring.path}/waiting", "POST", [("content-length", "5")])
        await ring.counted({"matched~r~any": 1, "injected~r~delay": 1})
        over = time.monotonic() + BELIEVED_SECONDS + 3

        async def is_over() -> bool:
            assert_passed(await other.request(ring.path))
            return time.monotonic() > over

        await eventually_async(is_over, within=60, what="more than the time")
        waiting.abandon()

        async def is_held() -> bool:
            return (await other.request(ring.path)).header("x-hfi-fault") is not None

        await eventually_async(is_held, what="the place free again")


async def test_no_more_a_second_than_the_policy_allows(wide_ring: Ring, wire: Wire) -> None:
    ring = wide_ring
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), limits={"maxPerSecond": 20}))
    started = time.monotonic()
    async with ring.connections(20, wire=wire) as opened:
        found = statuses(await volley(opened, 400, ring.path))
    seconds = int(time.monotonic() - started) + 2  # Those that it began in and ended in, both in part.
    assert 20 <= found[503] <= 20 * seconds
    assert found[503] + found[200] == 400
    # The next second has room again.
    await eventually_aborted(ring)


async def eventually_aborted(ring: Ring) -> None:
    deadline = time.monotonic() + 5
    while (await ring.ask()).status != 503:
        assert time.monotonic() < deadline, "no second has room"
