from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from hfi_core.snapshot import NodeIdentity
from hfi_xds import pb, wire
from hfi_xds.messages import DeltaRequest, DeltaResponse, Hello, Rejection, SotwRequest, SotwResponse
from hfi_xds.resource_types import EXTENSION_CONFIG
from tests.unit.xds.talk import of

NODE = {
    "id": "n1",
    "cluster": "c",
    "metadata": {"hfi": {"labels": {"track": "canary", "zone": "a"}}, "other": 1},
    "user_agent_name": "envoy",
    "user_agent_build_version": {"version": {"major_number": 1, "minor_number": 40}},
}


def node(**more: Any) -> pb.Node:
    return ParseDict({**NODE, **more}, pb.Node())


def labels(found: Any) -> dict[str, str]:
    return dict(wire.hello(node(metadata={"hfi": {"labels": found}})).node.labels)


def test_a_node_is_its_identity_and_its_program() -> None:
    identity = NodeIdentity.of("n1", "c", {"zone": "a", "track": "canary"})
    assert wire.hello(node()) == Hello(identity, "envoy/1.40.0")


@pytest.mark.parametrize("metadata", [{}, {"hfi": 1}, {"hfi": {}}, {"hfi": {"labels": []}}], ids=str)
def test_a_node_without_labels(metadata: dict[str, Any]) -> None:
    assert wire.hello(node(metadata=metadata)).node.labels == ()


def test_only_texts_are_labels() -> None:
    assert labels({"a": "1", "b": 2, "c": {"d": "e"}, "f": None, "g": True}) == {"a": "1"}


def test_labels_are_bounded() -> None:
    assert labels({"k" * 257: "v", "k": "v" * 257, "k" * 256: "v" * 256}) == {"k" * 256: "v" * 256}
    crowd = {f"k{number:03}": "v" for number in range(wire.MAX_LABELS + 1)}
    assert list(labels(crowd)) == list(crowd)[: wire.MAX_LABELS]


@pytest.mark.parametrize(
    ("more", "agent"),
    [
        ({"user_agent_build_version": None}, "envoy"),
        ({"user_agent_build_version": None, "user_agent_version": "1.2"}, "envoy/1.2"),
        ({"user_agent_build_version": None, "user_agent_name": ""}, ""),
        ({"user_agent_build_version": None, "user_agent_version": "x" * 500}, "envoy/" + "x" * 122),
    ],
    ids=["a name", "a text", "nothing", "too long"],
)
def test_a_program_may_say_less(more: dict[str, Any], agent: str) -> None:
    found = {key: value for key, value in {**NODE, **more}.items() if value is not None}
    assert wire.hello(ParseDict(found, pb.Node())).user_agent == agent


def test_what_is_not_ours_in_a_first_message_is_skipped() -> None:
    """Of the 60 KB of extensions, nothing is in our schema; it must be no error either."""
    # Field 9 of Node: repeated Extension.
    extensions = b"\x4a\x05\x0a\x03abc" * 500
    message = pb.DeltaDiscoveryRequest(node=pb.Node.FromString(node().SerializeToString() + extensions))
    request = wire.delta_request(pb.DeltaDiscoveryRequest.FromString(message.SerializeToString()))
    assert request.hello == wire.hello(node())


def test_requests_of_state_of_the_world() -> None:
    message = pb.DiscoveryRequest(
        type_url=EXTENSION_CONFIG, resource_names=["a", "b"], version_info="v", response_nonce="7"
    )
    assert wire.sotw_request(message) == SotwRequest(EXTENSION_CONFIG, ("a", "b"), "v", "7")
    message.error_detail.message = "no"
    message.node.CopyFrom(node())
    found = wire.sotw_request(message)
    assert (found.error, found.hello) == (Rejection(0, "no"), wire.hello(node()))


def test_requests_of_the_incremental_variant() -> None:
    message = pb.DeltaDiscoveryRequest(
        type_url=EXTENSION_CONFIG,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"a": "1"},
        response_nonce="7",
    )
    assert wire.delta_request(message) == DeltaRequest(EXTENSION_CONFIG, ("a",), ("b",), {"a": "1"}, "7")
    # Present and empty is a rejection all the same.
    message.error_detail.SetInParent()
    assert wire.delta_request(message).error == Rejection(0, "")


def test_responses_of_state_of_the_world() -> None:
    [resource] = of(hfi="one")
    message = wire.sotw_response(SotwResponse(EXTENSION_CONFIG, "v", "7", (resource,)), "replica-1")
    assert (message.type_url, message.version_info, message.nonce) == (EXTENSION_CONFIG, "v", "7")
    assert message.control_plane.identifier == "replica-1"
    assert [(any_.type_url, any_.value) for any_ in message.resources] == [(EXTENSION_CONFIG, b"one")]


def test_responses_of_the_incremental_variant() -> None:
    [resource] = of(hfi="one")
    message = wire.delta_response(DeltaResponse(EXTENSION_CONFIG, "7", (resource,), ("gone",)), "replica-1")
    assert (message.type_url, message.nonce, list(message.removed_resources)) == (EXTENSION_CONFIG, "7", ["gone"])
    assert message.control_plane.identifier == "replica-1"
    [wrapped] = message.resources
    assert (wrapped.name, wrapped.version) == ("hfi", resource.version)
    assert (wrapped.resource.type_url, wrapped.resource.value) == (EXTENSION_CONFIG, b"one")


@pytest.mark.parametrize(
    "response",
    [
        DeltaResponse(EXTENSION_CONFIG, "7", tuple(of(hfi="one")), ("gone", "too")),
        DeltaResponse(EXTENSION_CONFIG, "8", tuple(of(hfi="one", other="two"))),
        DeltaResponse(EXTENSION_CONFIG, "9", (), ("gone",)),
        DeltaResponse(EXTENSION_CONFIG, "10", tuple(of(hfi="one")), ttl_seconds=1.5),
        DeltaResponse(EXTENSION_CONFIG, "11", (), alive=(("hfi", "v"),), ttl_seconds=1.5),
    ],
    ids=["changed and gone", "two", "gone", "may expire", "lives on"],
)
def test_a_response_is_the_same_in_pieces(response: DeltaResponse) -> None:
    message = pb.DeltaDiscoveryResponse.FromString(wire.delta_bytes(response, "replica-1"))
    assert message == wire.delta_response(response, "replica-1")
    assert pb.DeltaDiscoveryResponse.FromString(wire.delta_bytes(response, "replica-2")) != message
