"""Health, metrics, proxies and explain over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hfi_core.dataplane.histograms import Recorded
from hfi_core.proxies import ResourceStatus
from hfi_core.snapshot import NodeIdentity
from hfi_sse.services import HttpSettings
from tests.support.policies import abort_rule, policy
from tests.unit.sse.plane import Plane, running


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        yield found


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


async def test_ready_says_what_is_wrong_and_live_stays_live() -> None:
    clock = Clock()
    async with running(clock=clock, settings=HttpSettings(ready_max_feed_age_seconds=60)) as plane:
        ready = await plane.client.get("/v1/health?ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        clock.now += 61_000
        refused = await plane.client.get("/v1/health?ready")
        assert refused.status_code == 503
        assert "last heard of 61.0 s ago; the limit is 60 s" in refused.json()["reasons"][0]
        live = await plane.client.get("/v1/health")
        assert (live.status_code, live.json()["ready"]) == (200, False)
        assert live.json()["troubles"] == refused.json()["reasons"]


async def test_not_ready_before_the_store_has_been_read() -> None:
    async with running(follow=False) as plane:
        refused = await plane.client.get("/v1/health?ready")
        assert refused.json()["reasons"] == ["store: the store has not been read yet"]
        assert (await plane.client.get("/v1/health")).json()["snapshot"] is None
        assert (await plane.client.get("/v1/metrics")).json()["control_plane"]["snapshot_version"] is None
        assert (await plane.client.get("/v1/proxies")).json()["version"] is None
        assert (await plane.client.post("/v1/explain", json={"path": "/"})).status_code == 503


async def test_not_ready_while_no_filter_module_is_served() -> None:
    why = ["the store has no stable filter module yet"]
    async with running(filter_trouble=lambda: next(iter(why), None)) as plane:
        refused = await plane.client.get("/v1/health?ready")
        assert (refused.status_code, refused.json()["reasons"]) == (503, [f"filter: no module is served: {why[0]}"])
        live = await plane.client.get("/v1/health")
        assert (live.status_code, live.json()["ready"]) == (200, False)
        why.clear()
        assert (await plane.client.get("/v1/health?ready")).status_code == 200


async def test_metrics_as_json(plane: Plane) -> None:
    version = await plane.apply("shop")
    counters = {
        "total_requests": 9,
        "faults_injected": 2,
        "rule~matched~shop~slow~any": 4,
        "rule~injected~shop~slow~request_delay": 2,
        "rule~skipped~shop~slow~percentage": 1,
        "rule~skipped~shop~slow~limit": 1,
        "rule~shadowed~shop~other~abort": 1,
    }
    plane.services.data_plane.counters.observe(
        "n", {f"wasmcustom.hfi.{name}": value for name, value in counters.items()}
    )
    plane.services.data_plane.gauges.observe("n", {"wasmcustom.hfi.active_delays": 3})
    recorded = Recorded(2, 300.0, [(50.0, 1), (250.0, 2)])
    plane.services.data_plane.histograms.observe({"wasmcustom.hfi.delay_ms": recorded})
    found = (await plane.client.get("/v1/metrics")).json()
    assert (found["active_delays"], found["snapshot_age_seconds"]) == (3, None)
    assert (found["delay_ms"]["count"], found["delay_ms"]["sum"]) == (2, 300.0)
    assert [bucket for bucket in found["delay_ms"]["buckets"] if bucket["le"] in (25.0, 50.0, 250.0)] == [
        {"le": 25.0, "count": 0},
        {"le": 50.0, "count": 1},
        {"le": 250.0, "count": 2},
    ]
    assert found["takeover_us"]["count"] == 0
    assert (found["total_requests"], found["faults_injected"], found["errors"]) == (9, 2, 0)
    assert found["rules"] == [
        {"policy": "shop", "rule": "other", "matched": 0, "injected": {}, "shadowed": {"abort": 1}, "skipped": {}},
        {
            "policy": "shop",
            "rule": "slow",
            "matched": 4,
            "injected": {"request_delay": 2},
            "shadowed": {},
            "skipped": {"limit": 1, "percentage": 1},
        },
    ]
    assert found["control_plane"]["snapshot_version"] == str(version)


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", "text/plain", "text/plain"),
        ("?format=prometheus", "*/*", "text/plain"),
        ("", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1", "application/openmetrics-text"),
        ("?format=json", "text/plain", "application/json"),
        ("", "text/html,*/*;q=0.8", "application/json"),
    ],
)
async def test_metrics_as_whoever_asks_wants(plane: Plane, query: str, accept: str, content_type: str) -> None:
    answer = await plane.client.get(f"/v1/metrics{query}", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(content_type)
    if content_type != "application/json":
        assert 'hfi_stream_readers{kind="once"} 0.0' in answer.text
        assert "hfi_policies 0.0" in answer.text


async def test_metrics_in_no_such_form(plane: Plane) -> None:
    assert (await plane.client.get("/v1/metrics?format=xml")).status_code == 400


async def test_labels_are_bounded(plane: Plane) -> None:
    for number in range(5):
        await plane.client.request("PROPFIND", f"/invented/{number}")
    text = (await plane.client.get("/v1/metrics?format=prometheus")).text
    assert 'hfi_http_requests_total{method="other",route="none",status="4xx"} 5.0' in text
    assert "invented" not in text


async def test_proxies_in_pages_with_their_xds(plane: Plane) -> None:
    for name in ("b", "a/1", "c"):
        plane.services.proxies.stream_opened(NodeIdentity.of(name, "shop", {"k": "v"}), "envoy/1.40")
    plane.services.proxies.resource("a/1", ResourceStatus("type", "hfi", "abc", "nacked", "no", 5))
    page = (await plane.client.get("/v1/proxies?limit=2")).json()
    assert ([item["node"] for item in page["items"]], page["next"], page["connected"]) == (["a/1", "b"], "b", 3)
    assert page["connectedUpToDate"] == 0
    rest = (await plane.client.get("/v1/proxies?limit=2&after=b")).json()
    assert ([item["node"] for item in rest["items"]], rest["next"]) == (["c"], None)
    one = (await plane.client.get("/v1/proxies/a/1")).json()
    assert (one["labels"], one["userAgent"], one["xds"]["streams"]) == ({"k": "v"}, "envoy/1.40", 1)
    assert one["xds"]["resources"][0]["state"] == "nacked"
    assert (await plane.client.get("/v1/proxies/x")).json()["type"] == "urn:hfi:problem:proxy-not-found"


async def test_explain_asks_the_real_engine_for_the_node(plane: Plane) -> None:
    matched = abort_rule("match") | {"match": {"headers": [{"name": "x-user", "exact": "beta"}]}}
    await plane.apply("shop", matched, selector={"cluster": "one"})

    async def decision(**question: Any) -> Any:
        answer = await plane.client.post("/v1/explain", json={"path": "/", **question})
        assert answer.status_code == 200, answer.text
        return answer.json()["decision"]

    decides = {"policy": "shop", "rule": "match"}
    for headers in ({"x-user": "beta"}, {"X-User": ["no", "beta"]}, [["x-user", "beta"]]):
        assert await decision(headers=headers) == decides
    assert await decision() is None
    assert await decision(headers={"x-user": "beta"}, cluster="one") == decides
    assert await decision(headers={"x-user": "beta"}, cluster="two") is None
    tried = policy("new", abort_rule("all"), priority=9)
    assert await decision(policy=tried) == {"policy": "new", "rule": "all"}
    assert await decision() is None, "what was tried is not stored"


@pytest.mark.parametrize(
    ("question", "pointers"),
    [
        ({}, {"/path"}),
        ({"path": "/", "status": 99}, {"/status"}),
        ({"path": "/", "status": "503"}, {"/status"}),
        ({"path": "x", "method": "a b", "colour": 1}, {"/path", "/method", "/colour"}),
        ({"path": "/", "headers": {"a": 1}}, {"/headers"}),
        ({"path": "/", "headers": "a"}, {"/headers"}),
        ({"path": "/", "policy": {}}, {"/policy/apiVersion", "/policy/kind", "/policy/metadata", "/policy/spec"}),
        ([], {""}),
    ],
)
async def test_explain_says_all_that_is_wrong(plane: Plane, question: Any, pointers: set[str]) -> None:
    answer = await plane.client.post("/v1/explain", json=question)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers
