"""Why a rule that matches did not act, and what it did when it did: by reason and by kind, in the metrics."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, delay, rule
from tests.support.traffic import CutOff, Wire
from tests.support.waiting import eventually, eventually_async

EDIT = {"headers": {"set": {"x-new": "1"}}}
LATE = delay("1ms", phase="response")
#: What is injected, by the name that metrics give it.
KINDS: dict[str, dict[str, Any]] = {
    "abort": {"abort": abort()},
    "reset": {"abort": {"reset": True}},
    "delay": {"delay": delay("1ms")},
    "delay_abort": {"delay": delay("1ms"), "abort": {"grpcStatus": 14}},
    "delay_reset": {"delay": delay("1ms"), "abort": {"reset": True}},
    "request": {"request": EDIT},
    "response": {"response": EDIT},
    "request_response": {"request": EDIT, "response": EDIT},
    "delay_response": {"delay": LATE, "response": {"status": 500}},
    "request_delay": {"delay": delay("1ms"), "request": EDIT},
    "request_delay_response": {"delay": LATE, "request": EDIT, "response": {"body": "new"}},
}


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_faults_are_counted_by_their_parts(ring: Ring, wire: Wire, mode: str) -> None:
    rules = [rule(kind, f"{ring.path}/{kind}", **fault) for kind, fault in KINDS.items()]
    await ring.apply(ring.policy(*rules, mode=mode))
    for kind in KINDS:
        try:
            answer = await ring.ask(f"/{kind}", wire=wire)
        except CutOff:
            assert (mode, "reset" in kind) == ("enforce", True)
        else:
            assert (answer.header("x-hfi-fault") is None) is (mode == "shadow")
    if mode == "shadow":
        assert [seen.values("x-new") for seen in ring.reached] == [[]] * len(KINDS)
    what = "injected" if mode == "enforce" else "shadowed"
    wanted = {f"matched~{kind}~any": 1 for kind in KINDS}
    await ring.counted(wanted | {f"{what}~{kind}~{kind}": 1 for kind in KINDS})


async def test_parts_that_miss_are_no_part_of_the_kind(ring: Ring, wire: Wire) -> None:
    await ring.inject(delay=delay("20s", percentage=0), request=EDIT, response={"status": 500, "percentage": 0})
    answer = await ring.ask(wire=wire)
    assert (answer.status, ring.reached[0].values("x-new")) == (200, ["1"])
    await ring.counted({"matched~r~any": 1, "injected~r~request": 1})


async def test_percentage(ring: Ring) -> None:
    await ring.inject(percentage=0, abort=abort())
    for _ in range(3):
        assert_passed(await ring.ask())
    await ring.counted({"matched~r~any": 3, "skipped~r~percentage": 3})


async def test_times_and_the_turn_to_pass(ring: Ring) -> None:
    await ring.apply(
        ring.policy(
            rule("times", f"{ring.path}/times", times=1, abort=abort()),
            rule("turn", f"{ring.path}/turn", sequence=["pass", 503]),
        )
    )
    for _ in range(4):
        await ring.ask("/times")
        await ring.ask("/turn")
    await ring.counted(
        {
            "matched~times~any": 4, "injected~times~abort": 1, "skipped~times~times": 3,
            "matched~turn~any": 4, "injected~turn~abort": 2, "skipped~turn~times": 2,
        }
    )  # fmt: skip


async def test_limit(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, delay=delay("20s")), limits={"maxActive": 1}))
    async with ring.connections(1) as [connection]:
        await connection.send(ring.path)
        await ring.counted({"matched~r~any": 1, "injected~r~delay": 1})
        for _ in range(2):
            assert_passed(await ring.ask())
        await ring.counted({"matched~r~any": 3, "injected~r~delay": 1, "skipped~r~limit": 2})


async def test_a_shadowed_rule_is_not_limited_and_takes_no_place(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), limits={"maxPerSecond": 1}, mode="shadow"))
    for _ in range(20):
        assert_passed(await ring.ask())
    await ring.counted({"matched~r~any": 20, "shadowed~r~abort": 20})


async def test_probe(ring: Ring) -> None:
    await ring.inject(abort=abort())
    assert_passed(await ring.ask(headers=[("user-agent", "kube-probe/1.31")]))
    await ring.counted({"skipped~r~probe": 1})
    assert_aborted(await ring.ask())
    await ring.counted({"matched~r~any": 1, "injected~r~abort": 1, "skipped~r~probe": 1})


async def test_expired(ring: Ring) -> None:
    """Its policy is still there, for another rule has no end."""
    await ring.apply(
        ring.policy(
            rule("brief", ring.path, abort=abort(), duration_seconds=1),
            rule("lasting", f"{ring.path}/lasting", abort=abort()),
        )
    )
    await eventually_async(lambda: passes(ring), what="the end of the brief rule")
    before = ring.rule_counters().get("skipped~brief~expired", 0)
    for _ in range(3):
        assert_passed(await ring.ask())
    await eventually(
        lambda: ring.rule_counters().get("skipped~brief~expired", 0) in (before + 3, before + 4),
        what="three more, or four with the one that found the end",
    )


async def passes(ring: Ring) -> bool:
    return (await ring.ask()).status == 200


async def test_reasons_reach_the_control_plane(ring: Ring) -> None:
    await ring.apply(
        ring.policy(
            rule("never", ring.path, percentage=0, abort=abort()),
            rule("once", ring.path, times=1, delay=delay("1ms"), response={"status": 500}),
        )
    )
    for _ in range(3):
        await ring.ask()
    wanted = {
        f'hfi_rule_skipped_total{{policy="{ring.name}",reason="percentage",rule="never"}} 3.0',
        f'hfi_rule_skipped_total{{policy="{ring.name}",reason="times",rule="once"}} 2.0',
        f'hfi_rule_injected_total{{kind="delay_response",policy="{ring.name}",rule="once"}} 1.0',
    }

    async def shown() -> bool:
        response = await ring.api.ask("GET", "/v1/metrics?format=prometheus")
        return wanted <= set(response.text.splitlines())

    await eventually_async(shown, what=f"{wanted}")
