"""The description and the routes say the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry
from starlette.routing import Route

from hfi_sse.app import create_app
from hfi_sse.openapi import document
from tests.support.golden import Golden, valid_policies
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


async def test_what_is_answered_is_what_is_described(plane: Plane) -> None:
    await plane.apply("p")
    await plane.client.get("/v1/config/stream?once=true", headers={"x-hfi-node": "n"})
    asked = {
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
