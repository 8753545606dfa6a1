from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from hfi_core.proxies import ProxyRegistry, ResourceStatus
from hfi_core.snapshot import NodeIdentity
from hfi_xds import pb
from hfi_xds.client_status import answer
from hfi_xds.errors import StreamRefused
from hfi_xds.node_matcher import MAX_MATCHERS
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG

AT = 1_764_000_000_000
WHEN = "2025-11-24T16:00:00Z"


@pytest.fixture
def proxies() -> ProxyRegistry:
    registry = ProxyRegistry(lambda: AT)
    for node in (
        NodeIdentity.of("checkout-1", "checkout", {"track": "canary"}),
        NodeIdentity.of("checkout-2", "checkout", {"track": "stable"}),
        NodeIdentity.of("Billing-1", "billing"),
    ):
        registry.stream_opened(node, "envoy/1.40.0")
    return registry


def asked(proxies: ProxyRegistry, *matchers: dict[str, Any]) -> dict[str, Any]:
    """The answer, by node id."""
    request = ParseDict({"node_matchers": matchers}, pb.ClientStatusRequest())
    message = MessageToDict(answer(request, proxies.list()), preserving_proto_field_name=True)
    return {config["node"]["id"]: config for config in message.get("config", [])}


def test_who_a_node_is(proxies: ProxyRegistry) -> None:
    assert asked(proxies)["checkout-1"]["node"] == {
        "id": "checkout-1",
        "cluster": "checkout",
        "metadata": {"hfi": {"labels": {"track": "canary"}}},
        "user_agent_name": "envoy",
        "user_agent_version": "1.40.0",
    }
    # Not an empty value, which is none of JSON's and which grpcurl cannot print.
    assert asked(proxies)["Billing-1"]["node"]["metadata"] == {"hfi": {"labels": {}}}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["sent"], {"config_status": "STALE", "client_status": "REQUESTED"}),
        (["sent", "acked"], {"config_status": "SYNCED", "client_status": "ACKED", "version_info": "v1"}),
        (["acked", "sent"], {"config_status": "STALE", "client_status": "REQUESTED", "version_info": "v0"}),
        (
            ["acked", "sent", "nacked"],
            {
                "config_status": "ERROR",
                "client_status": "NACKED",
                "version_info": "v0",
                "error_state": {"details": "why", "version_info": "v2", "last_update_attempt": WHEN},
            },
        ),
        (
            ["not_applied"],
            {
                "config_status": "ERROR",
                "client_status": "NACKED",
                "error_state": {"details": "why", "version_info": "v0", "last_update_attempt": WHEN},
            },
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_a_state_is_a_status_and_the_version_is_what_the_node_runs(
    proxies: ProxyRegistry, states: list[Any], expected: dict[str, Any]
) -> None:
    for number, state in enumerate(states):
        message = "why" if state in ("nacked", "not_applied") else ""
        proxies.resource("checkout-1", ResourceStatus(EXTENSION_CONFIG, "hfi", f"v{number}", state, message))
    [resource] = asked(proxies)["checkout-1"]["generic_xds_configs"]
    assert resource == {"type_url": EXTENSION_CONFIG, "name": "hfi", "last_updated": WHEN, **expected}


def test_each_resource_is_told_and_in_one_order(proxies: ProxyRegistry) -> None:
    for type_url, name in ((EXTENSION_CONFIG, "b"), (CLUSTER, "z"), (EXTENSION_CONFIG, "a")):
        proxies.resource("checkout-1", ResourceStatus(type_url, name, "v", "acked"))
    told = asked(proxies)
    found = [(config["type_url"], config["name"]) for config in told["checkout-1"]["generic_xds_configs"]]
    assert found == [(CLUSTER, "z"), (EXTENSION_CONFIG, "a"), (EXTENSION_CONFIG, "b")]
    assert "generic_xds_configs" not in told["checkout-2"]


def test_of_who_has_gone_nothing_is_said(proxies: ProxyRegistry) -> None:
    proxies.stream_closed("checkout-1")
    proxies.polling(NodeIdentity.of("polls"), True)
    assert set(asked(proxies)) == {"checkout-2", "Billing-1"}


def label(value: dict[str, Any], name: str = "track") -> dict[str, Any]:
    path = [{"key": key} for key in ("hfi", "labels", name)]
    return {"node_metadatas": [{"path": path, "value": value}]}


EVERYONE = {"checkout-1", "checkout-2", "Billing-1"}
CHECKOUT = {"checkout-1", "checkout-2"}


@pytest.mark.parametrize(
    ("matchers", "meant"),
    [
        ([], EVERYONE),
        ([{}], EVERYONE),
        ([{"node_id": {"exact": "checkout-1"}}], {"checkout-1"}),
        ([{"node_id": {"exact": "billing-1"}}], set()),
        ([{"node_id": {"exact": "billing-1", "ignore_case": True}}], {"Billing-1"}),
        ([{"node_id": {"prefix": "checkout"}}], CHECKOUT),
        ([{"node_id": {"suffix": "-1"}}], {"checkout-1", "Billing-1"}),
        ([{"node_id": {"contains": "kou"}}], CHECKOUT),
        ([{"node_id": {"exact": "checkout-1"}}, {"node_id": {"exact": "Billing-1"}}], {"checkout-1", "Billing-1"}),
        ([label({"string_match": {"exact": "canary"}})], {"checkout-1"}),
        ([label({"present_match": True})], CHECKOUT),
        ([label({"present_match": False})], {"Billing-1"}),
        ([label({"null_match": {}})], set()),
        ([label({"bool_match": True})], set()),
        (
            [label({"or_match": {"value_matchers": [{"bool_match": True}, {"string_match": {"prefix": "st"}}]}})],
            {"checkout-2"},
        ),
        ([{"node_id": {"suffix": "-2"}, **label({"string_match": {"exact": "canary"}})}], set()),
        ([{"node_metadatas": [{"path": [{"key": "a"}, {"key": "b"}], "value": {"present_match": True}}]}], set()),
        ([{"node_metadatas": [{"path": [{"key": "hfi"}], "value": {"present_match": True}}]}], EVERYONE),
    ],
)
def test_matchers_say_which_nodes_are_meant(
    proxies: ProxyRegistry, matchers: list[dict[str, Any]], meant: set[str]
) -> None:
    assert set(asked(proxies, *matchers)) == meant


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"bool_match": True}
    for _ in range(depth):
        value = {"or_match": {"value_matchers": [value]}}
    return label(value)


@pytest.mark.parametrize(
    ("matchers", "words"),
    [
        ([{"node_id": {}}], "exact, prefix, suffix or contains"),
        ([label({})], "string_match"),
        ([label({"string_match": {"ignore_case": True}})], "exact, prefix, suffix or contains"),
        ([label({"or_match": {"value_matchers": [{}]}})], "string_match"),
        ([nested(9)], "nested"),
        ([{"node_metadatas": [{"value": {"bool_match": True}}]}], "path"),
        ([{"node_metadatas": [{"path": [{}], "value": {"bool_match": True}}]}], "path"),
        ([{}] * (MAX_MATCHERS + 1), "more than"),
    ],
)
def test_what_cannot_be_matched_by_is_refused(
    proxies: ProxyRegistry, matchers: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(StreamRefused, match=words) as refused:
        asked(proxies, *matchers)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_a_regular_expression_is_refused_and_not_ignored(proxies: ProxyRegistry) -> None:
    # {"node_id": {"safe_regex": {"regex": ".*"}}}, as somebody sends it whose schema is whole.
    message = bytes.fromhex("0a08" + "0a06" + "2a04" + "12022e2a")
    with pytest.raises(StreamRefused, match="node_id"):
        answer(pb.ClientStatusRequest.FromString(message), proxies.list())
