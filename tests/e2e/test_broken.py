"""Values written past the API. One bad policy must cost the others nothing."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, rule
from tests.e2e.stack import Stack
from tests.support.traffic import statuses, volley
from tests.support.waiting import eventually, eventually_async


async def broken(ring: Ring) -> dict[str, str]:
    """The policies that the control plane says it cannot read, and why."""
    return (await ring.api.get("/v1/metrics"))["control_plane"]["policies_broken"]


@pytest.mark.parametrize(
    "garbage",
    [b"\x80\xff not even text", b"{", b'{"appliedAtMs": 1, "policy": {"kind": "Something"}}', b""],
    ids=["bytes", "half", "another-kind", "empty"],
)
async def test_a_value_that_is_no_policy_is_left_out_and_named(ring: Ring, stack: Stack, garbage: bytes) -> None:
    await ring.inject(abort=abort(503))
    name = f"{ring.name}-garbage"
    stack.write_stored(name, garbage)
    try:
        found = await eventually_async(lambda: broken(ring), what="the broken policy named")
        assert set(found) == {name}
        await ring.arrived()
        assert_aborted(await ring.ask())
        # A change beside it still arrives.
        await ring.inject(abort=abort(504))
        assert_aborted(await ring.ask(), 504)
    finally:
        stack.delete_stored(name)
    await eventually_async(lambda: _none(ring), what="the broken policy forgotten")


async def _none(ring: Ring) -> bool:
    return not await broken(ring)


async def test_a_broken_policy_can_be_deleted_by_the_api(ring: Ring, stack: Stack) -> None:
    name = f"{ring.name}-garbage"
    stack.write_stored(name, b"garbage")
    await eventually_async(lambda: broken(ring), what="the broken policy named")
    await ring.api.delete(name)
    assert name not in stack.stored()


async def test_a_rule_that_only_the_engine_refuses_is_left_out_and_counted(ring: Ring, stack: Stack) -> None:
    """As an older filter would meet it: the control plane's models accept the policy, the engine cannot run it."""
    name = f"{ring.name}-refused"
    document = ring.policy(
        rule("back-reference", {"regex": rf"{ring.path}/(a)\1"}, abort=abort(501)),
        rule("good", f"{ring.path}/good", abort=abort(502)),
        name="refused",
        priority=1,
    )
    await ring.inject(abort=abort(503))
    errors = [sidecar.stat("wasmcustom.hfi.errors") for sidecar in ring.sidecars]
    stack.write_stored(name, json.dumps({"appliedAtMs": int(time.time() * 1000), "policy": document}).encode())
    try:
        await eventually_async(lambda: _status(ring, "/good", 502), what="the good rule beside the bad")
        assert_aborted(await ring.ask(), 503)
        assert_passed(await ring.ask("/aa"))
        async with ring.connections(20) as opened:
            assert statuses(await volley(opened, 200, ring.path)) == {503: 200}
        for sidecar, before in zip(ring.sidecars, errors, strict=True):
            await eventually(
                lambda sidecar=sidecar, before=before: sidecar.stat("wasmcustom.hfi.errors") == before + 1,
                what="one rule counted as left out, once for each proxy",
            )
        # It is said in words as well, with its place.
        assert "back-reference" in ring.sidecar.process.output()
    finally:
        stack.delete_stored(name)


async def _status(ring: Ring, path: str, status: int) -> bool:
    return (await ring.ask(path)).status == status
