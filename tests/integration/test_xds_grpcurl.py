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
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.services import OF_ONE_TYPE as SERVICES
from tests.integration.xds_support import (
    AGGREGATED,
    EXTENSIONS,
    ONE_LOOP,
    REPORTS,
    STATUS,
    Plane,
    connected,
    delta,
    running,
    sotw,
    status,
)
from tests.support.grpcurl import Answer, grpcurl
from tests.support.waiting import eventually

pytestmark = [
    ONE_LOOP,
    pytest.mark.grpcurl,
    # envoy-data-plane, which builds the resource, declares its validators in a way that pydantic will drop.
    pytest.mark.filterwarnings("ignore:Using `@model_validator` with mode='after':DeprecationWarning"),
]

NODE = {"id": "somebody", "cluster": "c"}
OF_ONE_TYPE = {service.full_name: about for service, about in SERVICES.items()}
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
        [AGGREGATED, *OF_ONE_TYPE, REPORTS, STATUS, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"]
    ), answer.err


@pytest.mark.parametrize(
    ("service", "methods"),
    [
        (AGGREGATED, ["StreamAggregatedResources", "DeltaAggregatedResources"]),
        *(
            (name, [f"{verb}{about}" for verb in ("Stream", "Delta", "Fetch")])
            for name, (_, about) in OF_ONE_TYPE.items()
        ),
        (REPORTS, ["StreamMetrics"]),
        (STATUS, ["StreamClientStatus", "FetchClientStatus"]),
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


@pytest.mark.parametrize("service", OF_ONE_TYPE)
async def test_each_type_has_a_service_in_both_variants(plane: Plane, service: str) -> None:
    type_url, about = OF_ONE_TYPE[service]
    served = {name: Resource.of(type_url, name, b"") for name in ("one", "two")}
    plane.source.publish(ResourceSnapshot.of(*served.values()))
    answer = await ask(plane, f"{service}/Delta{about}", data={"node": NODE, "resource_names_subscribe": ["one"]})
    [message] = answer.messages()
    assert message["type_url"] == type_url
    assert [(found["name"], found["version"]) for found in message["resources"]] == [("one", served["one"].version)]
    answer = await ask(plane, f"{service}/Stream{about}", data={"node": NODE, "resource_names": ["two"]})
    [message] = answer.messages()
    assert (message["type_url"], len(message["resources"])) == (type_url, 1)
    assert (await ask(plane, f"{service}/Fetch{about}", data={"node": NODE})).code == UNIMPLEMENTED


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
        (f"{STATUS}/FetchClientStatus", {"node_matchers": [{"node_id": {}}]}, INVALID_ARGUMENT, "matched by exact"),
        (f"{STATUS}/StreamClientStatus", {"node_matchers": [{"node_id": {}}]}, INVALID_ARGUMENT, "matched by exact"),
    ],
    ids=["nobody", "no type", "another type", "not by polling", "a report of nobody", "no matcher", "nor by stream"],
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


# -- the status of every node ---------------------------------------------------------------------------------


def told(message: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """By node, of its one resource: status, what it runs, and the node's own words."""
    found = {}
    for config in message.get("config", []):
        [resource] = config["generic_xds_configs"]
        assert (resource["type_url"], resource["name"]) == (EXTENSION_CONFIG, "hfi")
        words = resource.get("error_state", {}).get("details", "")
        found[config["node"]["id"]] = (resource["config_status"], resource.get("version_info", ""), words)
    return found


async def test_what_became_of_a_resource_at_each_node(plane: Plane, resource: Resource) -> None:
    async with connected(plane) as one, connected(plane) as two, connected(plane) as three:
        peers = {"takes": delta(one), "refuses": delta(two), "waits": sotw(three)}
        nonces = {}
        for node, peer in peers.items():
            names = "resource_names" if node == "waits" else "resource_names_subscribe"
            await peer.send(node={"id": node, "cluster": "c"}, type_url=EXTENSION_CONFIG, **{names: ["hfi"]})
            nonces[node] = (await peer.receive()).nonce
        await peers["takes"].send(type_url=EXTENSION_CONFIG, response_nonce=nonces["takes"])
        no = {"code": 13, "message": "Unable to create Wasm plugin hfi"}
        await peers["refuses"].send(type_url=EXTENSION_CONFIG, response_nonce=nonces["refuses"], error_detail=no)
        await eventually(lambda: plane.has(resource, "acked", "takes"), what="the acknowledgement")
        await eventually(lambda: plane.has(resource, "nacked", "refuses"), what="the rejection")
        expected = {
            "takes": ("SYNCED", resource.version, ""),
            "refuses": ("ERROR", "", "Unable to create Wasm plugin hfi"),
            "waits": ("STALE", "", ""),
        }
        fetched = await ask(plane, f"{STATUS}/FetchClientStatus", data={})
        assert [told(message) for message in fetched.messages()] == [expected], fetched.err
        only = {"node_matchers": [{"node_id": {"prefix": "ref"}}]}
        streamed = await ask(plane, f"{STATUS}/StreamClientStatus", data=[{}, only])
        assert streamed.code == OK, streamed.err
        assert [told(message) for message in streamed.messages()] == [expected, {"refuses": expected["refuses"]}]
    # Of who has gone nothing is said.
    await eventually(lambda: plane.metric("hfi_xds_streams") == 0, what="the end of the streams")
    assert (await ask(plane, f"{STATUS}/FetchClientStatus", data={})).messages() == [{}]


async def test_a_stream_of_status_ends_with_the_server(plane: Plane) -> None:
    async with connected(plane) as channel:
        peer = status(channel)
        await peer.send()
        assert list((await peer.receive()).config) == []
        await plane.stop()
        code, words = await peer.end()
        assert (code.name, "stopping" in words) == ("UNAVAILABLE", True)


async def test_a_stream_of_status_that_asks_nothing_ends(resource: Resource) -> None:
    async with running(Plane.of(resource, hello_timeout_seconds=0.05)) as plane, connected(plane) as channel:
        code, _ = await status(channel).end()
        assert code.name == "DEADLINE_EXCEEDED"


async def test_a_request_for_status_that_cannot_be_read_ends_its_stream(plane: Plane) -> None:
    async with connected(plane) as channel:
        peer = status(channel)
        await peer.send_raw(b"\xff")
        code, _ = await peer.end()
        assert code.name != "OK"
