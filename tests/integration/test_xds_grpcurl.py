"""What somebody with nothing but grpcurl sees. It brings no schema: all that it knows comes from reflection."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from hfi_core.modules.catalogue import FILTER, load_module
from hfi_core.modules.filter_config import FilterConfig
from hfi_xds.filter_resource import filter_resource
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.resources import Resource
from tests.integration.xds_support import AGGREGATED, EXTENSIONS, ONE_LOOP, REPORTS, Plane, running
from tests.support.grpcurl import Answer, grpcurl

pytestmark = [
    ONE_LOOP,
    pytest.mark.grpcurl,
    # envoy-data-plane, which builds the resource, declares its validators in a way that pydantic will drop.
    pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode='after':DeprecationWarning"),
]

NODE = {"id": "somebody", "cluster": "c"}
OK, INVALID_ARGUMENT, UNIMPLEMENTED = 0, 64 + 3, 64 + 12
WASM = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"


@pytest.fixture(scope="module")
def resource() -> Resource:
    return filter_resource(load_module(FILTER), FilterConfig())


@pytest_asyncio.fixture(loop_scope="session")
async def plane(resource: Resource) -> AsyncIterator[Plane]:
    async with running(Plane.of(resource, identifier="replica-1")) as plane:
        yield plane


async def ask(plane: Plane, *arguments: str, data: Any = None) -> Answer:
    return await grpcurl(plane.address, *arguments, data=data)


async def test_list(plane: Plane) -> None:
    answer = await ask(plane, "list")
    assert answer.out.split() == sorted(
        [AGGREGATED, EXTENSIONS, REPORTS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    ), answer.err


@pytest.mark.parametrize(
    ("service", "methods"),
    [
        (AGGREGATED, ["StreamAggregatedResources", "DeltaAggregatedResources"]),
        (EXTENSIONS, ["StreamExtensionConfigs", "DeltaExtensionConfigs", "FetchExtensionConfigs"]),
        (REPORTS, ["StreamMetrics"]),
    ],
)
async def test_describe(plane: Plane, service: str, methods: list[str]) -> None:
    answer = await ask(plane, "describe", service)
    assert answer.code == OK, answer.err
    assert [line.split()[1] for line in answer.out.splitlines() if line.strip().startswith("rpc")] == sorted(methods)


async def test_describe_a_message(plane: Plane) -> None:
    answer = await ask(plane, "describe", "envoy.service.discovery.v3.DeltaDiscoveryRequest")
    assert "resource_names_subscribe" in answer.out, answer.err


def filter_in(message: dict[str, Any]) -> dict[str, Any]:
    """The filter's configuration, unpacked by grpcurl with what reflection told it."""
    typed = message["typed_config"]
    assert (message["@type"], message["name"], typed["@type"]) == (EXTENSION_CONFIG, "hfi", WASM)
    config: dict[str, Any] = typed["config"]
    assert base64.b64decode(config["vm_config"]["code"]["local"]["inline_bytes"]) == load_module(FILTER).code
    assert config["failure_policy"] == "FAIL_OPEN"
    assert json.loads(config["configuration"]["value"])["http_cluster"] == "hfi_http"
    return config


async def test_a_stream_of_extension_configurations(plane: Plane, resource: Resource) -> None:
    answer = await ask(plane, f"{EXTENSIONS}/StreamExtensionConfigs", data={"node": NODE, "resource_names": ["hfi"]})
    assert answer.code == OK, answer.err
    [message] = answer.messages()
    assert (message["type_url"], message["version_info"]) == (EXTENSION_CONFIG, resource.version)
    assert message["control_plane"] == {"identifier": "replica-1"}
    [found] = message["resources"]
    filter_in(found)


async def test_delta_of_the_aggregated_service(plane: Plane, resource: Resource) -> None:
    request = {"node": NODE, "type_url": EXTENSION_CONFIG, "resource_names_subscribe": ["hfi", "nobody"]}
    answer = await ask(plane, f"{AGGREGATED}/DeltaAggregatedResources", data=request)
    assert answer.code == OK, answer.err
    [message] = answer.messages()
    # What does not exist is not said to be removed: not of this type.
    assert "removed_resources" not in message
    [found] = message["resources"]
    assert (found["name"], found["version"]) == ("hfi", resource.version)
    filter_in(found["resource"])


async def test_who_has_it_already_is_sent_nothing(plane: Plane, resource: Resource) -> None:
    request = {
        "node": NODE,
        "resource_names_subscribe": ["hfi"],
        "initial_resource_versions": {"hfi": resource.version},
    }
    answer = await ask(plane, f"{EXTENSIONS}/DeltaExtensionConfigs", data=request)
    assert (answer.code, answer.messages()) == (OK, []), answer.err
    assert plane.has(resource, "acked", node="somebody")


async def test_a_conversation(plane: Plane, resource: Resource) -> None:
    """Several messages on one stream: the second is a rejection of the first response, and is not answered."""
    no = {"type_url": EXTENSION_CONFIG, "response_nonce": "1", "error_detail": {"code": 13, "message": "no"}}
    first = {"node": NODE, "type_url": EXTENSION_CONFIG, "resource_names": ["hfi"]}
    answer = await ask(
        plane, f"{AGGREGATED}/StreamAggregatedResources", data=[first, {**no, "resource_names": ["hfi"]}]
    )
    assert answer.code == OK, answer.err
    assert [message["version_info"] for message in answer.messages()] == [resource.version]


@pytest.mark.parametrize(
    ("method", "request_", "code", "words"),
    [
        (f"{EXTENSIONS}/StreamExtensionConfigs", {"resource_names": ["hfi"]}, INVALID_ARGUMENT, "node.id"),
        (f"{AGGREGATED}/DeltaAggregatedResources", {"node": NODE}, INVALID_ARGUMENT, "type_url"),
        (
            f"{EXTENSIONS}/DeltaExtensionConfigs",
            {"node": NODE, "type_url": EXTENSION_CONFIG.replace("TypedExtensionConfig", "Other")},
            INVALID_ARGUMENT,
            "this service serves",
        ),
        (f"{EXTENSIONS}/FetchExtensionConfigs", {"node": NODE}, UNIMPLEMENTED, ""),
        (f"{REPORTS}/StreamMetrics", {}, INVALID_ARGUMENT, "identifier.node.id"),
    ],
    ids=["nobody", "no type", "another type", "not by polling", "a report of nobody"],
)
async def test_what_is_wrong_is_said(
    plane: Plane, method: str, request_: dict[str, Any], code: int, words: str
) -> None:
    answer = await ask(plane, method, data=request_)
    assert (answer.code, words in answer.err) == (code, True), answer.err


@pytest.mark.parametrize("service", ["", AGGREGATED, EXTENSIONS, REPORTS])
async def test_health(plane: Plane, service: str) -> None:
    answer = await ask(plane, "grpc.health.v1.Health/Check", data={"service": service})
    assert answer.messages() == [{"status": "SERVING"}], answer.err
