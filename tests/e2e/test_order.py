"""Which of several rules decides, which proxies have it, and what is never touched."""

from __future__ import annotations

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, delay, rule
from tests.e2e.stack import PROBE_PATH


async def test_a_higher_priority_comes_first_whatever_the_names(ring: Ring) -> None:
    await ring.apply(
        ring.policy(rule(path=ring.path, abort=abort(501)), name="a", priority=-1),
        ring.policy(rule(path=ring.path, abort=abort(502)), name="b"),
        ring.policy(rule(path=ring.path, abort=abort(503)), name="z", priority=7),
    )
    for name, status in (("z", 503), ("b", 502), ("a", 501)):
        answer = await ring.ask()
        assert_aborted(answer, status)
        assert answer.header("x-hfi-fault") == f"{ring.name}-{name}/r"
        await ring.arrived(await ring.api.delete(f"{ring.name}-{name}"))
    assert_passed(await ring.ask())


async def test_equal_priorities_go_by_name_and_then_by_place(ring: Ring) -> None:
    await ring.apply(
        ring.policy(rule(path=ring.path, abort=abort(502)), name="b"),
        ring.policy(
            rule("z-but-first", {"prefix": f"{ring.path}/narrow"}, abort=abort(504)),
            rule("a-but-second", {"prefix": ring.path}, abort=abort(501)),
            name="a",
        ),
    )
    assert_aborted(await ring.ask(), 501)
    assert_aborted(await ring.ask("/narrow"), 504)


async def test_a_changed_policy_takes_the_place_of_the_old_one(ring: Ring) -> None:
    await ring.inject(abort=abort(501))
    assert_aborted(await ring.ask(), 501)
    await ring.inject(abort=abort(502))
    assert_aborted(await ring.ask(), 502)


async def test_a_disabled_policy_does_nothing(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), enabled=False))
    assert_passed(await ring.ask())
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), enabled=True))
    assert_aborted(await ring.ask())


async def test_shadow_injects_nothing_is_counted_and_hides_nothing(ring: Ring) -> None:
    await ring.apply(
        ring.policy(
            rule("both", {"prefix": ring.path}, abort=abort(), delay=delay("5s")),
            rule("abort", {"prefix": ring.path}, abort=abort()),
            name="shadow", mode="shadow", priority=1,
        ),
        ring.policy(rule(path=f"{ring.path}/behind", abort=abort(502))),
    )  # fmt: skip
    for _ in range(3):
        answer = await ring.ask()
        assert_passed(answer)
        assert answer.seconds < 4
    assert_aborted(await ring.ask("/behind"), 502)

    await ring.counted(
        {
            "matched~both~any": 4,
            "matched~abort~any": 4,
            "shadowed~both~delay_abort": 4,
            "shadowed~abort~abort": 4,
        },
        "shadow",
    )


PROBES = [
    pytest.param(f"{PROBE_PATH}?verbose", [], id="path"),
    pytest.param("/", [("user-agent", "kube-probe/1.31")], id="kubelet"),
    pytest.param("/grpc.health.v1.Health/Check", [("content-type", "application/grpc")], id="grpc"),
    pytest.param("/grpc.health.v1.Health/Watch", [("content-type", "application/grpc")], id="grpc-watch"),
]


@pytest.mark.parametrize(("path", "headers"), PROBES)
async def test_probes_are_left_alone_unless_the_policy_includes_them(
    ring: Ring, path: str, headers: list[tuple[str, str]]
) -> None:
    async with ring.connections(1) as [connection]:
        everything = rule("everything", match={}, abort=abort(503))
        await ring.apply(ring.policy(everything))
        assert (await connection.request(path, "POST", headers, b"")).status == 200
        assert (await connection.request("/", "POST", (), b"")).status == 503

        await ring.apply(ring.policy(everything, includeProbes=True))
        answer = await connection.request(path, "POST", headers, b"")
        # What is gRPC is answered as gRPC: the status is in a trailer, or here in a header.
        assert (answer.status, answer.header("grpc-status")) in {(503, None), (200, "14")}
        assert answer.header("x-hfi-fault") == f"{ring.name}/everything"


async def test_a_selector_by_cluster_covers_the_proxies_of_that_cluster(ring: Ring) -> None:
    checkout, payments = ring.sidecars
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), selector={"cluster": "payments"}))
    assert_passed(await ring.ask(by=checkout))
    assert_aborted(await ring.ask(by=payments))


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        ({}, (True, True)),
        ({"labels": {"track": "canary"}}, (True, False)),
        ({"labels": {"zone": "a"}}, (True, True)),
        ({"labels": {"zone": "a", "track": "stable"}}, (False, True)),
        ({"labels": {"track": "canary", "zone": "b"}}, (False, False)),
        ({"cluster": "checkout", "labels": {"track": "stable"}}, (False, False)),
        ({"cluster": "nobody"}, (False, False)),
    ],
    ids=str,
)
async def test_all_of_a_selector_must_hold(ring: Ring, selector: dict[str, object], covered: tuple[bool, bool]) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), selector=selector))
    for sidecar, expected in zip(ring.sidecars, covered, strict=True):
        answer = await ring.ask(by=sidecar)
        assert (answer.status == 503) is expected, (sidecar.node, selector)


async def test_a_policy_that_covers_a_proxy_no_longer_ends_there(ring: Ring) -> None:
    checkout, payments = ring.sidecars
    here = rule(path=ring.path, abort=abort())
    await ring.apply(ring.policy(here, selector={"cluster": "checkout"}))
    assert_aborted(await ring.ask(by=checkout))
    await ring.apply(ring.policy(here, selector={"cluster": "payments"}))
    assert_passed(await ring.ask(by=checkout))
    assert_aborted(await ring.ask(by=payments))
