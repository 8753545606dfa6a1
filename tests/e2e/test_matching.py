"""Which requests a rule is for, asked of a real Envoy: what it makes of a request before the filter sees it counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.ring import Ring, abort, assert_aborted, assert_passed, rule
from tests.support.traffic import Headers


@dataclass(frozen=True)
class Req:
    """A request: ``path`` behind the test's own."""

    path: str = ""
    method: str = "GET"
    headers: Headers = field(default=())

    def __str__(self) -> str:
        return f"{self.method} {self.path} {list(self.headers)}"


def headers(*pairs: tuple[str, str], method: str = "GET") -> Req:
    return Req(headers=pairs, method=method)


@dataclass(frozen=True)
class Case:
    """``path`` is put into the matcher behind the test's own path; a regex gets it quoted in front."""

    name: str
    yes: tuple[Req, ...]
    no: tuple[Req, ...]
    path: tuple[str, str] | None = None
    method: str | None = None
    headers: tuple[dict[str, Any], ...] = ()

    def match(self, base: str) -> dict[str, Any]:
        kind, text = self.path or ("prefix", "")
        match: dict[str, Any] = {"path": {kind: base + text}}
        if self.method:
            match["method"] = {"exact": self.method}
        if self.headers:
            match["headers"] = list(self.headers)
        return match


def header(name: str = "x-a", **how: Any) -> tuple[dict[str, Any], ...]:
    return ({"name": name, **how},)


A1 = headers(("x-a", "1"))
NONE = headers()

CASES = [
    Case(
        "exact path",
        (Req("/a"), Req("/a?b=c"), Req("/a?")),
        (Req("/a/"), Req("/ab"), Req("/A"), Req("/")),
        ("exact", "/a"),
    ),
    Case(
        "exact path is not decoded",
        (Req("/a%2Fb"),),
        (Req("/a/b"), Req("/a%2fb")),
        ("exact", "/a%2Fb"),
    ),
    Case(
        "query does not count",
        (Req("/a?x=/b"),),
        (Req("?/a"), Req("/b?x=/a")),
        ("prefix", "/a"),
    ),
    Case(
        "prefix",
        (Req("/a"), Req("/a/b"), Req("/ab"), Req("/a?x")),
        (Req("/b/a"), Req("/A")),
        ("prefix", "/a"),
    ),
    Case(
        "regex",
        (Req("/7"), Req("/42?x=a")),
        (Req("/7/x"), Req("/x7"), Req("/")),
        ("regex", "/[0-9]+"),
    ),
    Case(
        "regex of the whole path",
        (Req("/a"), Req("/bc")),
        (Req("/ab"), Req("/a/bc")),
        ("regex", "/(a|bc)"),
    ),
    Case(
        "regex alternatives at the top",
        (Req("/a"),),
        (Req("/ax"), Req("/xb")),
        ("regex", "/a|b"),
    ),
    Case(
        "regex ignoring case",
        (Req("/AbC"),),
        (Req("/abd"),),
        ("regex", "/(?i)abc"),
    ),
    Case(
        "method",
        (Req(method="POST"),),
        (Req(), Req(method="PUT")),
        method="POST",
    ),
    Case(
        "method of one's own",
        (Req(method="PURGE"),),
        (Req(method="PUT"),),
        method="PURGE",
    ),
    Case(
        "header exact",
        (A1,),
        (NONE, headers(("x-a", "2")), headers(("x-a", "11")), headers(("x-b", "1"))),
        headers=header(exact="1"),
    ),
    Case(
        "header value by case",
        (headers(("x-a", "Beta")),),
        (headers(("x-a", "beta")),),
        headers=header(exact="Beta"),
    ),
    Case(
        "header name in any case",
        (headers(("X-GROUP", "b")), headers(("x-group", "b"))),
        (NONE,),
        headers=header("X-Group", exact="b"),
    ),
    Case(
        "header prefix",
        (headers(("x-a", "beta-1")),),
        (headers(("x-a", "a-beta")), NONE),
        headers=header(prefix="beta"),
    ),
    Case(
        "header suffix",
        (headers(("x-a", "1-beta")),),
        (headers(("x-a", "beta-1")), NONE),
        headers=header(suffix="beta"),
    ),
    Case(
        "header contains",
        (headers(("x-a", "a beta b")),),
        (headers(("x-a", "bet")), NONE),
        headers=header(contains="beta"),
    ),
    Case(
        "header regex of the whole value",
        (headers(("x-a", "u-17")),),
        (headers(("x-a", "u-17x")), headers(("x-a", "xu-17")), NONE),
        headers=header(regex="u-[0-9]+"),
    ),
    Case(
        "header present",
        (A1, headers(("x-a", ""))),
        (NONE,),
        headers=header(present=True),
    ),
    Case(
        "header absent",
        (NONE,),
        (A1, headers(("X-A", ""))),
        headers=header(present=False),
    ),
    Case(
        "inverted exact",
        (NONE, headers(("x-a", "2"))),
        (A1,),
        headers=header(exact="1", invert=True),
    ),
    Case(
        "inverted present",
        (NONE,),
        (A1,),
        headers=header(present=True, invert=True),
    ),
    Case(
        "inverted regex",
        (NONE, headers(("x-a", "7x"))),
        (headers(("x-a", "7")),),
        headers=header(regex="[0-9]", invert=True),
    ),
    Case(
        "any of repeated headers",
        (headers(("x-a", "1"), ("x-a", "2")), headers(("X-A", "2"), ("x-a", "3"))),
        (headers(("x-a", "1"), ("x-a", "3")),),
        headers=header(exact="2"),
    ),
    Case(
        "inverted means none of repeated headers",
        (headers(("x-a", "1"), ("x-a", "3")),),
        (headers(("x-a", "1"), ("x-a", "2")),),
        headers=header(exact="2", invert=True),
    ),
    Case(
        "several headers must all hold",
        (headers(("x-a", "1"), ("x-b", "2")),),
        (A1, headers(("x-b", "2"))),
        headers=header(exact="1") + header("x-b", exact="2"),
    ),
    Case(
        "the same header twice",
        (headers(("x-a", "abc")),),
        (headers(("x-a", "ab")), headers(("x-a", "bc"))),
        headers=header(prefix="ab") + header(suffix="bc"),
    ),
    Case(
        "pseudo header",
        (NONE,),
        (),
        headers=header(":authority", exact="127.0.0.1"),
    ),
    Case("pseudo header of another value", (), (NONE,), headers=header(":authority", exact="elsewhere")),
    Case(
        "cookie",
        (headers(("cookie", "a=1; session=x")),),
        (headers(("cookie", "a=1")),),
        headers=header("cookie", contains="session=x"),
    ),
    Case(
        "path, method and headers together",
        (Req("/a", "POST", (("x-a", "1"),)),),
        (Req("/a", "POST"), Req("/a", "GET", (("x-a", "1"),)), Req("/b", "POST", (("x-a", "1"),))),
        ("exact", "/a"),
        "POST",
        header(exact="1"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_a_rule_is_for_these_requests_and_no_others(ring: Ring, case: Case) -> None:
    await ring.apply(ring.policy(rule(match=case.match(ring.path), abort=abort(503))))
    for request in case.yes:
        answer = await ring.ask(request.path, request.method, request.headers)
        assert answer.status == 503, f"{request} should match"
        assert_aborted(answer)
    for request in case.no:
        answer = await ring.ask(request.path, request.method, request.headers)
        assert answer.status == 200, f"{request} should not match"
        assert_passed(answer)


async def test_an_empty_match_is_for_every_request(ring: Ring) -> None:
    await ring.apply(ring.policy({"name": "all", "fault": {"abort": abort(503)}}))
    for request in (Req(), Req("/deep/er", "DELETE"), Req("?q", "POST", (("x-a", "1"),))):
        assert_aborted(await ring.ask(request.path, request.method, request.headers))


async def test_bytes_that_are_no_utf8_neither_match_nor_hurt(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(match={"headers": [{"name": "x-a", "regex": "."}]}, abort=abort(503))))
    assert_passed(await ring.ask("/%FF%FE", headers=[("x-a", "\xff\xfe")]))
    assert_aborted(await ring.ask(headers=[("x-a", "u")]))


async def test_host_is_what_envoy_calls_authority(ring: Ring) -> None:
    await ring.apply(ring.policy(rule(match={"headers": [{"name": "host", "exact": "127.0.0.1"}]}, abort=abort(503))))
    assert_aborted(await ring.ask())
