"""What a filter does with rules that it cannot run: from a newer control plane, or from a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.ring import abort, assert_aborted, assert_delayed, assert_passed, delay, rule
from tests.e2e.stack import START_SECONDS, Stack
from tests.support.fake_stream import FakeStream
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.traffic import Answer, Connection, once
from tests.support.waiting import eventually, eventually_async

PATH = "/left-out"


@dataclass(frozen=True)
class Addresses:
    """The module comes from the real control plane, the rules do not."""

    http: str
    xds: str


@pytest.fixture(scope="module")
def stream() -> Iterator[FakeStream]:
    with FakeStream() as answering:
        yield answering


@pytest.fixture(scope="module")
def sidecar(stack: Stack, processes: Processes, stream: FakeStream) -> Iterator[Sidecar]:
    control = Addresses(stream.http, stack.control.xds)
    misled = Sidecar(processes, control, stack.upstream.port, node="misled-1", cluster="misled", workers=1)
    try:
        yield misled.start()
    finally:
        misled.stop()


def on_the_wire(name: str, path: str, fault: Any, **more: Any) -> dict[str, Any]:
    return {"policy": "fake", "mode": "enforce", **rule(name, path, **fault), **more}


async def shown(stream: FakeStream, *rules: Any) -> None:
    """Show a snapshot, and wait until the filter asks for the next."""
    version = stream.show(*rules)
    await eventually(lambda: stream.applied(version), within=START_SECONDS, what=f"the filter at version {version}")


async def ask(sidecar: Sidecar, path: str) -> Answer:
    return await once(sidecar.port, path)


GOOD = on_the_wire("good", f"{PATH}/good", {"abort": abort(502)})
BAD: dict[str, dict[str, Any]] = {
    "unknown-fault": {"fault": {"explode": True}},
    "unknown-part-beside-a-known": {"fault": {"abort": abort(501), "explode": True}},
    "unknown-matcher": {"match": {"path": {"exact": f"{PATH}/bad"}, "phase_of_the_moon": {"exact": "full"}}},
    "status": {"fault": {"abort": {"httpStatus": 9999}}},
    "two-ends": {"fault": {"abort": {"httpStatus": 501, "grpcStatus": 1}}},
    "grpc-status": {"fault": {"abort": {"grpcStatus": 17}}},
    "reset-false": {"fault": {"abort": {"reset": False}}},
    "sequence-of-nothing": {"fault": {"sequence": ["pass"]}},
    "sequence-beside-abort": {"fault": {"abort": abort(501), "sequence": [501]}},
    "unknown-distribution": {"fault": {"delay": {"weibull": {"scale": "1ms"}}}},
    "distribution-without-cut": {"fault": {"delay": {"pareto": {"scale": "1ms", "shape": 1}}}},
    "descending-percentiles": {"fault": {"delay": {"percentiles": {"p50": "2ms", "p99": "1ms"}}}},
    "regex": {"match": {"path": {"regex": f"{PATH}/(bad"}}},
    "query-regex": {"match": {"query": [{"name": "q", "regex": "(a)\\1"}]}},
    "deep": {"match": {"not": {"not": {"not": {"not": {"method": {"exact": "GET"}}}}}}},
    "response-too-late": {"match": {"response": {"status": {"exact": 200}}}},
    "limits": {"limits": {"maxActive": 0}},
    "exclude": {"exclude": [{"path": {"exact": "no slash"}}]},
    "header-framing": {"fault": {"request": {"headers": {"set": {"content-length": "1"}}}}},
    "body-and-cut": {"fault": {"response": {"body": "x", "truncate": {"bytes": 1}}}},
    "no-object": {"match": 7},
}


async def test_rules_that_cannot_be_run_are_left_out_and_counted_and_the_rest_works(
    stream: FakeStream, sidecar: Sidecar
) -> None:
    await shown(stream, GOOD)
    errors = sidecar.stat("wasmcustom.hfi.errors")
    bad = [{**on_the_wire(name, f"{PATH}/bad", {"abort": abort(501)}), **change} for name, change in BAD.items()]
    fallback = on_the_wire("fallback", f"{PATH}/bad", {"abort": abort(503)})
    await shown(stream, *bad, GOOD, fallback)
    assert_aborted(await ask(sidecar, f"{PATH}/good"), 502)
    answer = await ask(sidecar, f"{PATH}/bad")
    assert (answer.status, answer.header("x-hfi-fault")) == (503, "fake/fallback")
    await eventually(
        lambda: sidecar.stat("wasmcustom.hfi.errors") == errors + len(BAD), what=f"{len(BAD)} rules counted as left out"
    )
    output = sidecar.process.output()
    assert [name for name in BAD if f"fake/{name}" not in output] == [], "each is named in words, too"


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"version":"x","rules":7}'], ids=repr)
async def test_a_snapshot_that_is_none_changes_nothing_and_is_counted(
    stream: FakeStream, sidecar: Sidecar, data: bytes
) -> None:
    await shown(stream, GOOD)
    errors = sidecar.stat("wasmcustom.hfi.errors")
    stream.show_data(data)
    await eventually(lambda: sidecar.stat("wasmcustom.hfi.errors") > errors, what="a snapshot counted as refused")
    assert_aborted(await ask(sidecar, f"{PATH}/good"), 502)
    await shown(stream, on_the_wire("good", f"{PATH}/good", {"abort": abort(504)}))
    async with Connection("127.0.0.1", sidecar.port) as connection:
        await eventually_async(lambda: status_is(connection, 504), what="what was shown after it")


async def status_is(connection: Connection, status: int) -> bool:
    return (await connection.request(f"{PATH}/good")).status == status


async def test_what_a_newer_control_plane_says_beside_the_rule_is_passed_over(
    stream: FakeStream, sidecar: Sidecar
) -> None:
    """New members of the envelope are no part of the rule: a filter that does not know them runs it all the same."""
    await shown(stream, {**GOOD, "explains": "everything", "priority": 7}, {**GOOD, "name": "delay"})
    assert_aborted(await ask(sidecar, f"{PATH}/good"), 502)


async def test_rules_without_the_newer_members_run_by_their_defaults(stream: FakeStream, sidecar: Sidecar) -> None:
    """As an older control plane sends them: no mark, no seed, no time of application."""
    await shown(
        stream,
        on_the_wire("times", f"{PATH}/times", {"times": 1, "abort": abort(501)}),
        on_the_wire("slow", f"{PATH}/slow", {"delay": delay("50ms")}),
    )
    first = await ask(sidecar, f"{PATH}/times")
    assert_aborted(first, 501)
    assert first.header("x-hfi-fault") == "fake/times"
    assert_passed(await ask(sidecar, f"{PATH}/times"))
    assert_delayed(await ask(sidecar, f"{PATH}/slow"), 0.05)
