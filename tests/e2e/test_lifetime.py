"""Faults end by themselves: at the end of their duration, and when nobody is heard of any more."""

from __future__ import annotations

import time

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, delay, rule
from tests.e2e.stack import Stack, StackFactory, started
from tests.support.traffic import Connection
from tests.support.waiting import eventually, eventually_async

#: How long after its end a fault may still be met. Clocks are compared to the millisecond; the test asks in turns.
LATE_SECONDS = 0.5
#: How long after its end a policy may still lie in the store (law 4 of the store: "within a few seconds").
TIDY_SECONDS = 10.0


async def until_it_passes(connection: Connection, path: str, within: float = 20.0) -> float:
    """Ask again and again; answers when, in Unix time, the first request passed. Until then all must be aborted."""
    deadline = time.monotonic() + within
    while (answer := await connection.request(path)).status == 503:
        assert time.monotonic() < deadline, f"still aborted after {within} s"
    assert_passed(answer)
    return time.time()


async def test_a_fault_ends_by_itself_and_its_policy_leaves_the_store(ring: Ring, stack: Stack) -> None:
    [stored] = await ring.apply(ring.policy(rule(path=ring.path, abort=abort(), duration_seconds=2)))
    end = stored["status"]["expiresAtMs"] / 1000
    assert ring.name in stack.stored()

    async with ring.connections(1) as [connection]:
        passed_at = await until_it_passes(connection, ring.path)

    assert end <= passed_at < end + LATE_SECONDS
    await eventually(lambda: ring.name not in stack.stored(), within=TIDY_SECONDS, what="the policy gone from etcd")
    assert ring.name not in await ring.api.names()


async def test_each_rule_has_an_end_of_its_own(ring: Ring) -> None:
    [stored] = await ring.apply(
        ring.policy(
            rule("brief", ring.path, abort=abort(), duration_seconds=1),
            rule("lasting", f"{ring.path}/lasting", abort=abort(), duration_seconds=600),
        )
    )
    async with ring.connections(1) as [connection]:
        passed_at = await until_it_passes(connection, ring.path)
        end = stored["status"]["appliedAtMs"] / 1000 + 1
        assert end <= passed_at < end + LATE_SECONDS
        assert_aborted(await connection.request(f"{ring.path}/lasting"))
    assert await ring.api.names() == [ring.name]


async def test_applying_anew_starts_the_duration_anew(ring: Ring) -> None:
    brief = ring.policy(rule(path=ring.path, abort=abort(), duration_seconds=2))
    [first] = await ring.apply(brief)
    async with ring.connections(1) as [connection]:
        await eventually(lambda: time.time() > first["status"]["appliedAtMs"] / 1000 + 1, what="a second gone")
        [second] = await ring.apply(brief)
        passed_at = await until_it_passes(connection, ring.path)
    assert second["status"]["expiresAtMs"] > first["status"]["expiresAtMs"] + 900
    assert passed_at >= second["status"]["expiresAtMs"] / 1000


async def test_a_request_held_beyond_the_end_of_its_rule_is_still_treated(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, delay=delay("1500ms"), abort=abort(), duration_seconds=1)))
    answer = await ring.ask()
    assert_aborted(answer)
    assert answer.seconds >= 1.5


async def test_a_fault_ends_and_leaves_the_store_while_the_control_plane_is_dead(whole: tuple[Stack, Ring]) -> None:
    stack, ring = whole
    [stored] = await ring.apply(ring.policy(rule(path=ring.path, abort=abort(), duration_seconds=4)))
    end = stored["status"]["expiresAtMs"] / 1000
    stack.control.kill()
    async with ring.connections(1) as [connection]:
        passed_at = await until_it_passes(connection, ring.path)
    assert end <= passed_at < end + LATE_SECONDS
    await eventually(lambda: ring.name not in stack.stored(), within=TIDY_SECONDS, what="the policy gone from etcd")


async def test_a_restart_of_the_control_plane_neither_extends_nor_shortens(whole: tuple[Stack, Ring]) -> None:
    stack, ring = whole
    # A start takes three seconds of processor time, and some other load may want the rest.
    [stored] = await ring.apply(ring.policy(rule(path=ring.path, abort=abort(), duration_seconds=20)))
    end = stored["status"]["expiresAtMs"] / 1000
    stack.control.kill()
    stack.control.start()
    again = await ring.api.get(f"/v1/policies/{ring.name}")
    assert again["status"] == stored["status"]
    async with ring.connections(1) as [connection]:
        passed_at = await until_it_passes(connection, ring.path)
    assert end <= passed_at < end + LATE_SECONDS


async def test_a_proxy_that_hears_nothing_for_too_long_stops_its_faults(stacks: StackFactory) -> None:
    async with started(stacks.on_etcd("--max-staleness", "3")) as (stack, ring):
        heard_after = time.time()
        await ring.inject(abort=abort())
        stack.control.kill()
        heard_before = time.time()
        async with ring.connections(1) as [connection]:
            passed_at = await until_it_passes(connection, ring.path)
            # The filter looks once a second.
            assert heard_after + 3 <= passed_at < heard_before + 3 + 1 + LATE_SECONDS
            await eventually(lambda: ring.rule_counters().get("skipped~r~stale"), what="the reason counted")
            stack.control.start()
            await eventually_async(
                lambda: status_is(connection, ring.path, 503), within=20, what="faults again, once it is back"
            )


async def test_a_control_plane_that_hears_nothing_itself_keeps_no_fault_going(stacks: StackFactory) -> None:
    """It answers each poll, and says for how long its store has been silent."""
    async with started(stacks.on_etcd("--max-staleness", "15")) as (stack, ring):
        await ring.inject(abort=abort())
        stack.etcd.freeze()
        frozen_at = time.time()
        async with ring.connections(1) as [connection]:
            passed_at = await until_it_passes(connection, ring.path, within=60)
            assert passed_at > frozen_at + 5, "etcd may have been silent for some seconds before"
            assert (await ring.api.ask("GET", "/v1/config/stream?once=true&wait=0s")).status_code == 200
            stack.etcd.thaw()
            await eventually_async(
                lambda: status_is(connection, ring.path, 503), within=30, what="faults again, once etcd is back"
            )


async def test_silence_while_nothing_changes_is_no_staleness(stacks: StackFactory) -> None:
    async with started(stacks.on_memory("--max-staleness", "3")) as (_, ring):
        await ring.inject(abort=abort())
        async with ring.connections(1) as [connection]:
            until = time.monotonic() + 7
            while time.monotonic() < until:
                assert_aborted(await connection.request(ring.path))


async def status_is(connection: Connection, path: str, status: int) -> bool:
    return (await connection.request(path)).status == status
