"""Which requests a rule is for, beyond path, method and headers; asked of a real Envoy by either protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, rule
from tests.support.traffic import Headers, Wire


@dataclass(frozen=True)
class Req:
    """A request: ``path`` behind the test's own."""

    path: str = ""
    method: str = "GET"
    headers: Headers = ()
    authority: str = "shop.test"


def query(text: str) -> Req:
    return Req(f"?{text}")


def header(name: str, value: str) -> Req:
    return Req(headers=((name, value),))


def at(authority: str) -> Req:
    return Req(authority=authority)


def attempt(count: str) -> Req:
    return header("x-envoy-attempt-count", count)


def q(name: str, **how: Any) -> dict[str, Any]:
    return {"query": [{"name": name, **how}]}


def h(name: str, value: str) -> dict[str, Any]:
    return {"headers": [{"name": name, "exact": value}]}


NONE = Req()
#: A match, requests that it holds for, and requests that it does not.
CASES: dict[str, tuple[dict[str, Any], list[Req], list[Req]]] = {
    "query-exact": (
        q("user", exact="a b"),
        [query(text) for text in ("user=a%20b", "user=a+b", "x=1&user=a+b&y", "user=c&user=a+b", "us%65r=a+b")],
        [NONE, query("user=a"), query("User=a+b"), query("user"), query("xuser=a+b"), query("user=a%2520b")],
    ),
    "query-prefix": (q("v", prefix="2."), [query("v=2.1")], [query("v=12.1"), query("v=")]),
    "query-suffix": (q("v", suffix=".1"), [query("v=2.1")], [query("v=2.10")]),
    "query-contains": (q("v", contains="&"), [query("v=a%26b")], [query("v=a&b")]),
    "query-regex": (q("v", regex="[0-9]+"), [query("v=12")], [query("v=12a"), query("v")]),
    "query-empty": (q("v", exact=""), [query("v"), query("v="), query("a&v&b")], [NONE, query("v=1"), query("w")]),
    "query-present": (q("debug", present=True), [query("debug"), query("debug=0")], [NONE, query("debugger")]),
    "query-absent": (q("debug", present=False), [NONE, query("debugger=1")], [query("debug")]),
    "query-invert": (q("v", exact="1", invert=True), [NONE, query("v=2")], [query("v=1"), query("v=2&v=1")]),
    "query-all": (
        {"query": [{"name": "a", "exact": "1"}, {"name": "b", "present": True}]},
        [query("a=1&b"), query("b=&a=1")],
        [query("a=1"), query("b")],
    ),
    "authority-exact": (
        {"authority": {"exact": "shop.test"}},
        [NONE, at("SHOP.test"), at("Shop.Test")],
        [at("shop.test:80"), at("a.shop.test"), at("shop")],
    ),
    "authority-prefix": ({"authority": {"prefix": "shop."}}, [NONE, at("shop.example:81")], [at("eshop.test")]),
    "authority-suffix": ({"authority": {"suffix": ".test"}}, [NONE, at("x.TEST")], [at("shop.test:80")]),
    "authority-contains": ({"authority": {"contains": "op.te"}}, [NONE], [at("shop.example")]),
    "authority-regex": (
        {"authority": {"regex": "(?:.+\\.)?shop\\.test"}},
        [NONE, at("a.shop.test")],
        [at("xshop.test"), at("shop.test.")],
    ),
    "attempt-exact": ({"attempt": {"exact": 2}}, [attempt("2")], [NONE, attempt("1"), attempt("3"), attempt("22")]),
    "attempt-first": ({"attempt": {"exact": 1}}, [NONE, attempt("1"), attempt("x"), attempt("-2")], [attempt("2")]),
    "attempt-min": ({"attempt": {"min": 2}}, [attempt("2"), attempt("999")], [NONE, attempt("1"), attempt("many")]),
    "attempt-max": ({"attempt": {"max": 2}}, [NONE, attempt("2")], [attempt("3")]),
    "attempt-range": ({"attempt": {"min": 2, "max": 3}}, [attempt("2"), attempt("3")], [NONE, attempt("4")]),
    "any-of": (
        {"anyOf": [h("x-a", "1"), {"method": {"exact": "PUT"}}, q("a", exact="1")]},
        [header("x-a", "1"), Req(method="PUT"), query("a=1")],
        [NONE, header("x-a", "2"), query("a=2")],
    ),
    "any-of-and-more": (
        {"anyOf": [h("x-a", "1"), h("x-a", "2")], **q("b", present=True)},
        [Req("?b", headers=(("x-a", "1"),)), Req("?b", headers=(("x-a", "2"),))],
        [header("x-a", "1"), query("b"), Req("?b", headers=(("x-a", "3"),))],
    ),
    "not": ({"not": h("x-a", "1")}, [NONE, header("x-a", "2")], [header("x-a", "1")]),
    "not-all-of-it": (
        {"not": {**h("x-a", "1"), "method": {"exact": "PUT"}}},
        [NONE, header("x-a", "1"), Req(method="PUT")],
        [Req(method="PUT", headers=(("x-a", "1"),))],
    ),
    "nested": (
        {"anyOf": [{"not": {"anyOf": [h("x-a", "1"), h("x-b", "1")]}}, h("x-c", "1")]},
        [NONE, header("x-c", "1"), Req(headers=(("x-a", "1"), ("x-c", "1")))],
        [header("x-a", "1"), header("x-b", "1")],
    ),
}  # fmt: skip


async def check(ring: Ring, wire: Wire, req: Req, *, aborted: bool) -> None:
    answer = await ring.ask(req.path, req.method, req.headers, wire=wire, authority=req.authority)
    assert (answer.header("x-hfi-fault") is not None) is aborted, req


@pytest.mark.parametrize("case", CASES)
async def test_what_a_match_holds_for(ring: Ring, wire: Wire, case: str) -> None:
    match, yes, no = CASES[case]
    here = {"path": {"prefix": ring.path}}
    await ring.apply(ring.policy(rule(match={**here, **match}, abort=abort())))
    for req in yes:
        await check(ring, wire, req, aborted=True)
    for req in no:
        await check(ring, wire, req, aborted=False)


@pytest.mark.parametrize("case", CASES)
async def test_what_a_policy_excludes_is_what_the_match_holds_for(ring: Ring, wire: Wire, case: str) -> None:
    match, yes, no = CASES[case]
    everything = rule(match={"path": {"prefix": ring.path}}, abort=abort())
    await ring.apply(ring.policy(everything, exclude=[{"path": {"exact": "/never"}}, match]))
    for req in yes:
        await check(ring, wire, req, aborted=False)
    for req in no:
        await check(ring, wire, req, aborted=True)


async def test_a_service_and_a_method_of_grpc(ring: Ring, wire: Wire) -> None:
    async def ask(path: str, kind: str = "application/grpc") -> bool:
        async with wire("127.0.0.1", ring.sidecar.port) as connection:
            answer = await connection.request(path, "POST", [("content-type", kind)], b"")
        return answer.header("x-hfi-fault") is not None

    service = ring.name.replace("-", "_") + ".Cart"
    other = rule("other", match={"grpc": {"service": f"{service}2", "method": "Add"}}, abort={"grpcStatus": 14})
    await ring.apply(ring.policy(rule(match={"grpc": {"service": service}}, abort={"grpcStatus": 14}), other))
    assert await ask(f"/{service}/Add")
    assert await ask(f"/{service}/Remove?x=1")
    assert await ask(f"/{service}2/Add")
    for path in (f"/{service}2/Remove", f"/{service}", f"/{service}/", f"/{service}/a/b", f"/x/{service}/Add"):
        assert not await ask(path), path
    for kind in ("application/grpc+proto", "application/grpc+proto;a=b"):
        assert await ask(f"/{service}/Add", kind), kind
    for kind in ("application/json", "application/grpc;a=b", "application/grpc-web", "application/grpc-web+proto"):
        assert not await ask(f"/{service}/Add", kind), kind


async def test_excluded_requests_are_not_counted_as_matched(ring: Ring, wire: Wire) -> None:
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort()), exclude=[q("safe", present=True)]))
    assert_passed(await ring.ask("?safe", wire=wire))
    assert_aborted(await ring.ask(wire=wire))
    await ring.counted({"matched~r~any": 1, "injected~r~abort": 1})
