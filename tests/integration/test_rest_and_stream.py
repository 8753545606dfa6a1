"""The HTTP side over TCP: policies in, events out, on the store in memory and the real rule engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from prometheus_client import CollectorRegistry

from hfi_core.dataplane import DataPlane
from hfi_core.feed import Feed
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.metrics import HfiCollector
from hfi_core.policies import PolicyService
from hfi_core.policy.engine import RuleEngine
from hfi_core.proxies import ProxyRegistry
from hfi_core.sidecars.document import Sidecars
from hfi_core.sidecars.service import ROOM, SidecarService
from hfi_core.store.memory import MemoryStore
from hfi_sse.app import create_app
from hfi_sse.server import HttpServer
from hfi_sse.services import Services
from tests.support.policies import abort_rule, policy

STREAM = "/v1/config/stream"


@pytest.fixture(scope="module")
def engine() -> RuleEngine:
    return RuleEngine()


@pytest.fixture
async def client(engine: RuleEngine) -> AsyncIterator[httpx.AsyncClient]:
    store = MemoryStore()
    feed, proxies, data_plane, registry = Feed(store), ProxyRegistry(), DataPlane(), CollectorRegistry()
    registry.register(HfiCollector(data_plane, proxies, feed))
    filters = Follower("filters", store.beside("filter"), FilterState.of)
    services = Services(
        policies=PolicyService(store, feed, engine.check),
        sidecars=SidecarService(store.beside(ROOM), Follower("sidecar documents", store.beside(ROOM), Sidecars.of)),
        feed=feed,
        proxies=proxies,
        data_plane=data_plane,
        engine=engine,
        modules=ModuleCatalogue(store.beside("filter"), store.beside("filter-pieces")),
        filters=filters,
        rollouts=RolloutService(store.beside("filter"), filters),
        filter_version=lambda assignment: None,
        filter_trouble=lambda: None,
        registry=registry,
        version="test",
    )
    following = asyncio.create_task(feed.run())
    server = HttpServer(create_app(services), "127.0.0.1", 0, stopping=services.stopping)
    port = await server.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=False, timeout=20) as http:
            yield http
    finally:
        await server.stop()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await store.close()


async def poll(client: httpx.AsyncClient, after: str | None = None, wait: str = "10s", **node: str) -> httpx.Response:
    headers = {"accept": "text/event-stream", **{f"x-hfi-{key}": value for key, value in node.items()}}
    if after is not None:
        headers["last-event-id"] = after
    return await client.get(STREAM, params={"once": "true", "wait": wait}, headers=headers)


def event(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    [line] = [line for line in response.text.splitlines() if line.startswith("data: ")]
    data: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return data


async def test_a_policy_lives_and_dies(client: httpx.AsyncClient) -> None:
    created = await client.post("/v1/policies", json=policy("p"))
    assert created.status_code == 201
    version = created.json()["metadata"]["version"]
    assert created.headers["etag"] == f'"{version}"'
    read = await client.get("/v1/policies/p")
    assert read.json() == created.json()
    updated = await client.put("/v1/policies/p", json=policy("p", priority=2), headers={"if-match": f'"{version}"'})
    assert updated.status_code == 200
    stale = await client.put("/v1/policies/p", json=policy("p", priority=3), headers={"if-match": f'"{version}"'})
    assert stale.status_code == 409
    assert [item["spec"]["priority"] for item in (await client.get("/v1/policies")).json()["items"]] == [2]
    assert (await client.delete("/v1/policies/p")).is_success
    gone = await client.get("/v1/policies/p")
    assert gone.status_code == 404
    assert gone.headers["content-type"].startswith("application/problem+json")


async def test_every_problem_is_said_at_once_with_its_place(client: httpx.AsyncClient) -> None:
    document = policy("UPPER", {**abort_rule(status=999), "match": {"path": {"regex": "("}}})
    refused = await client.post("/v1/policies", json=document)
    assert refused.headers["content-type"].startswith("application/problem+json")
    assert 400 <= refused.status_code < 500
    assert {problem["pointer"] for problem in refused.json()["errors"]} == {
        "/metadata/name",
        "/spec/rules/0/fault/abort/httpStatus",
        "/spec/rules/0/match/path/regex",
    }


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"a: [", "application/yaml", 400),
        (b"{", "application/json", 400),
        (b"x", "text/plain", 415),
        (b"x" * (1 << 20) + b"y", "application/yaml", 413),
    ],
)
async def test_bodies_that_are_none(client: httpx.AsyncClient, body: bytes, content_type: str, status: int) -> None:
    response = await client.post("/v1/policies", content=body, headers={"content-type": content_type})
    assert response.status_code == status
    assert response.json()["status"] == status


async def test_yaml_goes_in(client: httpx.AsyncClient) -> None:
    text = """
apiVersion: v1
kind: FaultInjectionPolicy
metadata: {name: y}
spec:
  rules:
    - name: r
      fault: {delay: {fixedDelay: 250ms}}
"""
    created = await client.post("/v1/policies", content=text, headers={"content-type": "application/yaml"})
    assert created.status_code == 201
    assert created.json()["spec"]["rules"][0]["fault"] == {"delay": {"fixedDelay": "250ms"}}


async def test_a_parked_reader_is_woken_by_the_change(client: httpx.AsyncClient) -> None:
    first = event(await poll(client, node="n", cluster="c"))
    assert first["rules"] == []
    parked = asyncio.create_task(poll(client, after=first["version"], node="n", cluster="c"))
    created = await client.post("/v1/policies", json=policy("p"))
    woken = event(await parked)
    assert woken["version"] == created.json()["metadata"]["version"]
    assert [rule["policy"] for rule in woken["rules"]] == ["p"]


async def test_a_change_that_is_not_for_a_reader_leaves_it_alone(client: httpx.AsyncClient) -> None:
    first = event(await poll(client, node="n", cluster="cart"))
    parked = asyncio.create_task(poll(client, after=first["version"], wait="300ms", node="n", cluster="cart"))
    created = await client.post("/v1/policies", json=policy("p", selector={"cluster": "checkout"}))
    answer = await parked
    assert "data:" not in answer.text
    assert answer.headers["x-hfi-version"] == created.json()["metadata"]["version"]


async def test_an_endless_reader_sees_each_change(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20), aconnect_sse(client, "GET", STREAM) as source:
        events = source.aiter_sse()
        assert json.loads((await anext(events)).data)["rules"] == []
        created = await client.post("/v1/policies", json=policy("p"))
        update = await anext(events)
        assert (update.event, update.id) == ("update", created.json()["metadata"]["version"])
        await client.delete("/v1/policies/p")
        assert json.loads((await anext(events)).data)["rules"] == []
        await events.aclose()


async def test_explain_asks_the_engine(client: httpx.AsyncClient) -> None:
    await client.post("/v1/policies", json=policy("p", {**abort_rule("r"), "match": {"path": {"prefix": "/a"}}}))
    decided = await client.post("/v1/explain", json={"method": "GET", "path": "/a/b?c", "headers": {}})
    assert decided.status_code == 200, decided.text
    assert decided.json()["decision"] == {"policy": "p", "rule": "r"}
    passed = await client.post("/v1/explain", json={"method": "GET", "path": "/b", "headers": {}})
    assert passed.json()["decision"] is None


async def test_health_metrics_proxies_and_the_description(client: httpx.AsyncClient) -> None:
    event(await poll(client, node="n", cluster="c"))
    assert (await client.get("/v1/health")).status_code == 200
    assert (await client.get("/v1/health?ready")).status_code == 200
    metrics = (await client.get("/v1/metrics")).json()
    assert metrics["total_requests"] == metrics["rules_matched"] == metrics["faults_injected"] == metrics["errors"] == 0
    assert "hfi_requests_total 0.0" in (await client.get("/v1/metrics?format=prometheus")).text
    assert [proxy["node"] for proxy in (await client.get("/v1/proxies")).json()["items"]] == ["n"]
    assert "/v1/policies" in (await client.get("/v1/openapi.json")).json()["paths"]
