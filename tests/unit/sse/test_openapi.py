"""The description and the routes say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from hfi_sse.app import create_app
from hfi_sse.openapi import document
from tests.support.golden import Golden, valid_policies
from tests.support.modules import module as wasm
from tests.unit.sse.plane import Plane

METHODS = {"get", "put", "post", "delete"}


def test_it_is_openapi() -> None:
    openapi_spec_validator.validate(document("1.2.3"))


async def test_each_route_is_described_and_each_description_is_a_route(plane: Plane) -> None:
    routes = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in create_app(replace(plane.services, registry=CollectorRegistry())).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {
        (path, method) for path, item in document("1.2.3")["paths"].items() for method in item if method in METHODS
    }
    assert routes == described


def errors(schema: str, value: Any) -> list[str]:
    components = document("1.2.3")["components"]
    validator = Draft202012Validator({"components": components, "$ref": f"#/components/schemas/{schema}"})
    return [error.message for error in validator.iter_errors(value)]


@pytest.mark.parametrize("golden", valid_policies(), ids=lambda golden: golden.name)
def test_every_valid_policy_is_one_by_its_schema(golden: Golden) -> None:
    assert errors("Policy", golden.document) == []


@pytest.mark.parametrize(
    "headers", [{"a": "b"}, {"a": ["b", "c"]}, [["a", "b"], ["a", "c"]], []], ids=["object", "lists", "pairs", "none"]
)
def test_headers_of_a_question_may_be_written_in_three_ways(headers: Any) -> None:
    assert errors("Question", {"path": "/", "headers": headers}) == []


async def test_it_is_served(plane: Plane) -> None:
    assert (await plane.client.get("/v1/openapi.json")).json() == document("1.2.3")


async def rollout(plane: Plane) -> httpx.Response:
    """Started, with everything that can be said of one."""
    for version in ("1", "2"):
        pushed = await plane.services.modules.push(version, wasm(version))
        await plane.services.rollouts.begin(pushed.manifest)
    start = {"version": "2", "share": 10, "selector": {"cluster": "c", "labels": {"a": "b"}}}
    assert (await plane.client.post("/v1/filters/rollout", json=start)).is_success
    back = await plane.client.post("/v1/filters/rollout/rollback", json={"reason": "because"})
    assert back.json()["rollout"]["cause"] == "operator"
    return back


@pytest.mark.parametrize(
    ("schema", "body", "right"),
    [
        ("RolloutStart", {"version": "1", "share": 10, "watchSeconds": 30, "maxErrors": 2}, True),
        ("RolloutStart", {"version": "1", "selector": {"labels": {"a": "b"}}}, True),
        ("RolloutStart", {"share": 10}, False),
        ("RolloutStart", {"version": "1", "share": 101}, False),
        ("RolloutStart", {"version": "1", "watch_seconds": 30}, False),
        ("RolloutAdvance", {"share": 50, "resume": True}, True),
        ("RolloutAdvance", {"share": 0}, False),
        ("RolloutPause", {}, True),
        ("RolloutPause", {"reason": "x"}, False),
        ("RolloutRollBack", {"reason": "x"}, True),
    ],
)
async def test_what_is_taken_of_a_rollout_is_what_is_described(
    plane: Plane, schema: str, body: dict[str, Any], right: bool
) -> None:
    assert (errors(schema, body) == []) == right
    action = {"Start": "", "Advance": "/advance", "Pause": "/pause", "RollBack": "/rollback"}[schema[len("Rollout") :]]
    answer = await plane.client.post("/v1/filters/rollout" + action, json=body)
    # Without a module and a rollout none is carried out.
    assert (answer.status_code in (404, 409)) == right, answer.text
    assert (answer.status_code == 422) != right


def test_only_a_start_needs_a_body() -> None:
    paths = document("1.2.3")["paths"]
    needed = {path: item["post"]["requestBody"]["required"] for path, item in paths.items() if "/rollout" in path}
    assert needed == {
        "/v1/filters/rollout": True,
        "/v1/filters/rollout/advance": False,
        "/v1/filters/rollout/pause": False,
        "/v1/filters/rollout/rollback": False,
    }


async def test_what_is_answered_is_what_is_described(plane: Plane) -> None:
    await plane.apply("p")
    await plane.client.get("/v1/config/stream?once=true", headers={"x-hfi-node": "n"})
    module = {"content": wasm(), "headers": {"content-type": "application/wasm"}}
    asked = {
        "Rollout": await rollout(plane),
        "FilterModule": await plane.client.put("/v1/filters/1.4.0", **module),
        "Policy": await plane.client.get("/v1/policies/p"),
        "Health": await plane.client.get("/v1/health"),
        "Metrics": await plane.client.get("/v1/metrics"),
        "Proxy": await plane.client.get("/v1/proxies/n"),
        "Problem": await plane.client.post("/v1/policies", json={}),
        "Explanation": await plane.client.post("/v1/explain", json={"path": "/"}),
        "Deleted": await plane.client.delete("/v1/policies/p"),
    }
    for name, response in asked.items():
        assert errors(name, response.json()) == [], name
