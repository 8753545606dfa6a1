"""How one sees what was injected: the mark, and the access log. And what no client can bring about."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_passed, delay, rule
from tests.support.reply import wanted
from tests.support.traffic import CutOff, Wire
from tests.support.waiting import eventually

#: Every part of a fault, and what is left of it on the answer.
FAULTS: dict[str, dict[str, Any]] = {
    "abort": {"abort": abort(503)},
    "grpc": {"abort": {"grpcStatus": 14}},
    "delay": {"delay": delay("20ms")},
    "delay-response": {"delay": delay("20ms", phase="response")},
    "start-delay": {"start_delay_ms": 20, "request": {"headers": {"set": {"x-new": "1"}}}},
    "request": {"request": {"headers": {"set": {"x-new": "1"}}}},
    "response": {"response": {"headers": {"set": {"x-new": "1"}}}},
    "bandwidth": {"response": {"bandwidth": {"kbps": 1000}}},
    "sequence": {"sequence": [503]},
}


def logged(ring: Ring) -> list[Any]:
    """What the access log says of this test's requests: the fault of each."""
    path = ring.sidecar.access_log
    assert path is not None
    lines = (json.loads(line) for line in Path(path).read_text().splitlines() if line.endswith("}"))
    return [line["fault"] for line in lines if line["path"].startswith(ring.path)]


@pytest.mark.parametrize("mark", [True, False])
async def test_an_answer_is_marked_unless_the_policy_says_no_and_the_log_names_the_fault_even_so(
    wide_ring: Ring, wire: Wire, mark: bool
) -> None:
    ring = wide_ring
    rules = [rule(name, f"{ring.path}/{name}", **fault) for name, fault in FAULTS.items()]
    await ring.apply(ring.policy(*rules, mark=mark))
    for name in FAULTS:
        answer = await ring.ask(f"/{name}", wire=wire)
        assert answer.header("x-hfi-fault") == (f"{ring.name}/{name}" if mark else None)
    assert_passed(await ring.ask("/other", wire=wire))
    wanted = [*(f"{ring.name}/{name}" for name in FAULTS), None]
    await eventually(lambda: len(logged(ring)) == len(wanted), what="a line for each in the access log")
    # Workers write side by side.
    assert Counter(logged(ring)) == Counter(wanted)


@pytest.mark.parametrize("fault", [{"abort": {"reset": True}}, {"response": {"truncate": {"bytes": 10}}}], ids=str)
async def test_the_log_names_the_fault_of_a_stream_that_was_cut(
    wide_ring: Ring, wire: Wire, fault: dict[str, Any]
) -> None:
    ring = wide_ring
    await ring.inject(**fault)
    with pytest.raises(CutOff):
        await ring.ask(headers=[wanted(length=1000)], wire=wire)
    assert await eventually(lambda: logged(ring), what="a line in the access log") == [f"{ring.name}/r"]


async def test_a_rule_that_looked_and_let_go_is_not_in_the_log(wide_ring: Ring) -> None:
    ring = wide_ring
    await ring.apply(
        ring.policy(
            rule("missed", ring.path, percentage=0, abort=abort()),
            rule("response", match={"response": {"status": {"exact": 599}}}, response={"status": 200}),
        ),
        ring.policy(rule("shadowed", ring.path, abort=abort()), name="shadow", mode="shadow"),
    )
    assert_passed(await ring.ask())
    assert await eventually(lambda: len(logged(ring)) == 1 and logged(ring), what="a line in the log") == [None]


STEERING = [
    ("x-envoy-fault-abort-request", "503"),
    ("x-envoy-fault-abort-request-percentage", "100"),
    ("x-envoy-fault-abort-grpc-request", "14"),
    ("x-envoy-fault-delay-request", "20000"),
    ("x-envoy-fault-delay-request-percentage", "100"),
    ("x-envoy-fault-throughput-response", "1"),
    ("x-envoy-fault-throughput-response-percentage", "100"),
    ("X-Envoy-Fault-Something-New", "1"),
]


async def test_no_client_can_steer_envoys_own_fault_filter(ring: Ring, wire: Wire) -> None:
    # At 1 KiB a second this body would take longer than any answer is waited for.
    answer = await ring.ask(headers=[*STEERING, wanted(length=100_000)], wire=wire)
    assert_passed(answer)
    [seen] = ring.reached
    assert [name for name, _ in seen.headers if "fault" in name] == []


async def test_no_client_can_undo_or_set_the_bandwidth_of_a_policy(ring: Ring, wire: Wire) -> None:
    await ring.inject(response={"bandwidth": {"kbps": 64}})
    steering = [("x-envoy-fault-throughput-response", "1000000"), ("x-envoy-fault-throughput-response-percentage", "0")]
    answer = await ring.ask(headers=[*steering, wanted(length=64 << 10)], wire=wire)
    assert len(answer.body) == 64 << 10
    assert answer.seconds >= 0.8


async def test_rules_do_not_see_what_is_removed(ring: Ring) -> None:
    match = {"headers": [{"name": "x-envoy-fault-abort-request", "present": True}]}
    await ring.apply(ring.policy(rule(match=match, abort=abort())))
    assert_passed(await ring.ask(headers=STEERING))
