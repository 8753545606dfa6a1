from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.support.policies import policy
from tests.unit.cli.conftest import FakePlane, Run, proxies, proxy


def explanation(*steps: dict[str, Any], decision: dict[str, str] | None = None, none: float = 1.0) -> httpx.Response:
    body = {"decision": decision, "steps": steps, "none_probability": none, "version": "7", "rules": len(steps)}
    return httpx.Response(200, json=body)


def step(rule: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {"policy": "p", "rule": rule, "mode": "enforce", "outcome": outcome, **more}


def test_explain_asks_with_everything_that_was_given(plane: FakePlane, run: Run) -> None:
    plane.on("POST", "/v1/explain", explanation())
    args = ("--path", "/a?b", "--method", "POST", "-H", "x-user: a:b", "--header", ":authority: h")
    assert run("explain", *args, "--status", "503", "--cluster", "c", "--label", "k=v").exit_code == 0
    assert plane.documents("POST", "/v1/explain") == [
        {
            "path": "/a?b",
            "method": "POST",
            "headers": [["x-user", "a:b"], [":authority", "h"]],
            "status": 503,
            "cluster": "c",
            "labels": {"k": "v"},
        }
    ]


def test_explain_can_try_a_policy(plane: FakePlane, run: Run) -> None:
    plane.on("POST", "/v1/explain", explanation())
    assert run("explain", "--path", "/", "-f", "-", stdin=json.dumps(policy("p"))).exit_code == 0
    assert plane.documents("POST", "/v1/explain")[0]["policy"] == policy("p")
    two = json.dumps([policy("p"), policy("q")])
    assert run("explain", "--path", "/", "-f", "-", stdin=two).exit_code == 2


@pytest.mark.parametrize("header", ["x-user", ": v", ""])
def test_a_header_has_a_name_and_a_value(run: Run, header: str) -> None:
    assert run("explain", "--path", "/", "--header", header).exit_code == 2


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (explanation(), "This request passes as it is: there are no rules."),
        (
            explanation(step("a", "no_match", reason="path")),
            "This request passes as it is: none of 1 rules touches it.",
        ),
        (
            explanation(
                step("a", "decides", percentage=100.0, probability=1.0), decision={"policy": "p", "rule": "a"}, none=0.0
            ),
            "p/a decides this request.",
        ),
        (
            explanation(
                step("a", "may_decide", percentage=25.0, probability=0.25),
                step("b", "decides", percentage=100.0, probability=0.75),
                decision={"policy": "p", "rule": "b"},
                none=0.0,
            ),
            "0% of such requests pass as they are; the rest is decided as above.",
        ),
        (
            explanation(step("a", "may_decide", percentage=0.5, probability=0.005), none=0.995),
            "99.5% of such requests pass as they are; the rest is decided as above.",
        ),
    ],
)
def test_explain_ends_with_the_answer(plane: FakePlane, run: Run, answer: httpx.Response, last: str) -> None:
    plane.on("POST", "/v1/explain", answer)
    assert run("explain", "--path", "/").stdout.splitlines()[-1] == last


def test_explain_says_why(plane: FakePlane, run: Run) -> None:
    steps = (
        step("a", "no_match", reason="header x-user"),
        step("b", "may_decide", percentage=25.0, probability=0.25),
        step("c", "shadow", reason="matches"),
        step("d", "something_new"),
        step("e", "no_match", reason="excluded by the policy"),
        step("f", "misses", reason="matches; never fires for this value of x-user"),
    )
    plane.on("POST", "/v1/explain", explanation(*steps, none=0.75))
    lines = [line.split() for line in run("explain", "--path", "/").stdout.splitlines()[1:7]]
    assert lines == [
        ["p", "a", "does", "not", "match", "-", "header", "x-user", "differs"],
        ["p", "b", "may", "decide", "25%", "fires", "in", "25%"],
        ["p", "c", "counts", "only", "(shadow)", "-", "matches"],
        ["p", "d", "something_new", "-"],
        ["p", "e", "does", "not", "match", "-", "excluded", "by", "the", "policy"],
        ["p", "f", "does", "not", "fire", "-", *["matches;", "never", "fires", "for", "this", "value", "of", "x-user"]],
    ]


def test_what_is_not_known_of_the_response_is_said(plane: FakePlane, run: Run) -> None:
    waiting = step("a", "awaits_response", probability=0.0)
    plane.on("POST", "/v1/explain", explanation(waiting))
    assert "--status" in run("explain", "--path", "/").stdout.splitlines()[-1]
    sure = step("b", "decides", probability=1.0)
    plane.on("POST", "/v1/explain", explanation(waiting, sure, decision={"policy": "p", "rule": "b"}, none=0.0))
    assert run("explain", "--path", "/").stdout.splitlines()[-1] == "p/b decides this request."
    assert run("explain", "--path", "/", "--status", "99").exit_code == 2


def test_explain_for_programs(plane: FakePlane, run: Run) -> None:
    plane.on("POST", "/v1/explain", explanation())
    assert json.loads(run("explain", "--path", "/", "-o", "json").stdout)["version"] == "7"


def resource(state: str, message: str = "") -> dict[str, Any]:
    return {"typeUrl": "t", "name": "hfi", "digest": "d", "state": state, "message": message, "atMs": 1}


def test_proxies_for_people(plane: FakePlane, run: Run) -> None:
    gone = proxy("gone", None, cluster="", connected=False, xds={"streams": 0, "resources": []})
    gone["rules"] |= {"upToDate": False, "ageMs": None}
    plane.on(
        "GET",
        "/v1/proxies",
        proxies(
            proxy("a", 7, labels={"track": "canary"}, xds={"streams": 1, "resources": [resource("acked")]}),
            proxy("b", 7, xds={"streams": 1, "resources": [resource("sent")]}),
            proxy("c", 7, xds={"streams": 1, "resources": [resource("nacked", "bad bytes")]}),
            proxy("d", 7, xds={"streams": 1, "resources": [resource("not_applied")]}),
            proxy("e", 7),
            gone,
        ),
    )
    lines = [line.split() for line in run("proxy", "list").stdout.splitlines()]
    assert lines[1:] == [
        ["a", "c", "track=canary", "connected", "applied", "7", "yes", "1.5s"],
        ["b", "c", "-", "connected", "sent", "7", "yes", "1.5s"],
        ["c", "c", "-", "connected", "rejected:", "bad", "bytes", "7", "yes", "1.5s"],
        ["d", "c", "-", "connected", "rejected:", "not_applied", "7", "yes", "1.5s"],
        ["e", "c", "-", "connected", "-", "7", "yes", "1.5s"],
        ["gone", "-", "-", "gone", "no", "xDS", "-", "no", "-"],
    ]
    assert [item["node"] for item in json.loads(run("proxy", "list", "-o", "json").stdout)][:2] == ["a", "b"]


def test_no_proxies(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/proxies", proxies())
    assert run("proxy", "list").stderr == "No proxy has connected yet.\n"


NOTHING = {"count": 0, "sum": 0.0, "buckets": []}


def test_metrics_for_people(plane: FakePlane, run: Run) -> None:
    rule = {
        "policy": "p",
        "rule": "r",
        "matched": 9,
        "injected": {"delay": 1, "delay_abort": 2},
        "shadowed": {"abort": 3},
        "skipped": {"percentage": 2, "limit": 0},
    }
    control_plane = {
        "version": "0.1.0",
        "snapshot_version": "7",
        "policies": 1,
        "policies_broken": {"bad": "unreadable"},
        "feed_age_ms": 1500,
        "proxies": {"connected": 2, "gone": 0},
    }
    buckets = [{"le": 100.0, "count": 0}, {"le": 250.0, "count": 2}, {"le": 3_600_000.0, "count": 2}]
    totals = {
        **{"total_requests": 10, "rules_matched": 9, "faults_injected": 3, "errors": 1},
        **{"active_delays": 5, "snapshot_age_seconds": 3.0},
        **{"delay_ms": {"count": 3, "sum": 1.0, "buckets": buckets}, "takeover_us": NOTHING},
    }
    body = {**totals, "rules": [rule], "control_plane": control_plane}
    plane.on("GET", "/v1/metrics", httpx.Response(200, json=body))
    lines = [line.split() for line in run("metrics").stdout.splitlines()]
    assert lines[1] == ["10", "9", "3", "5", "1"]
    assert lines[4] == ["p", "r", "9", "delay_abort", "2,", "delay", "1", "abort", "3", "percentage", "2"]
    text = run("metrics").stdout
    assert "Delays injected: 3; half up to 250ms, 99% above 1h." in text
    assert "policies 1, at version 7; proxies connected 2; store heard of 1.5s ago." in text
    assert "The stored policy bad cannot be read and is left out: unreadable" in text
    assert json.loads(run("metrics", "-o", "json").stdout) == body


def test_metrics_of_a_replica_that_has_read_nothing(plane: FakePlane, run: Run) -> None:
    totals = {
        **{"total_requests": 0, "rules_matched": 0, "faults_injected": 0, "errors": 0},
        **{"active_delays": 0, "snapshot_age_seconds": None, "delay_ms": NOTHING, "takeover_us": NOTHING},
    }
    body = {**totals, "rules": [], "control_plane": {"policies_broken": None}}
    plane.on("GET", "/v1/metrics", httpx.Response(200, json=body))
    assert run("metrics").exit_code == 0
