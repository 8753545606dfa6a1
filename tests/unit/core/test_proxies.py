from __future__ import annotations

import pytest

from hfi_core import proxies
from hfi_core.proxies import FORGET_AFTER_MS, ProxyRegistry, ResourceStatus
from hfi_core.snapshot import NodeIdentity

ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> ProxyRegistry:
    return ProxyRegistry(clock)


def test_both_servers_tell_of_one_proxy(registry: ProxyRegistry, clock: Clock) -> None:
    node = NodeIdentity.of("n1", "checkout", {"track": "canary"})
    registry.stream_opened(node, "envoy/1.40.0")
    registry.resource("n1", ResourceStatus(ECDS, "hfi", "d1", "sent"))
    clock.now = 2_000
    registry.resource("n1", ResourceStatus(ECDS, "hfi", "d1", "acked"))
    registry.rules_reached(node, 42, "e")
    [status] = registry.list()
    assert status == registry.get("n1")
    assert status.node == node
    assert (status.first_seen_ms, status.last_seen_ms, status.user_agent) == (1_000, 2_000, "envoy/1.40.0")
    assert status.resources == (ResourceStatus(ECDS, "hfi", "d1", "acked", at_ms=2_000, applied="d1"),)
    assert (status.rules_version, status.rules_epoch, status.rules_seen_ms) == (42, "e", 2_000)
    assert status.connected


def test_a_proxy_is_connected_while_it_streams_or_polls(registry: ProxyRegistry) -> None:
    node = NodeIdentity.of("n1")
    registry.stream_opened(node)
    registry.stream_opened(node)
    registry.stream_closed("n1")
    assert registry.list()[0].connected
    registry.stream_closed("n1")
    registry.stream_closed("n1")
    assert not registry.list()[0].connected
    registry.polling(node, True)
    assert registry.list()[0].connected
    registry.polling(node, False)
    assert not registry.list()[0].connected


def test_the_silent_are_forgotten_and_the_connected_are_not(registry: ProxyRegistry, clock: Clock) -> None:
    registry.rules_reached(NodeIdentity.of("gone"), 1, "e")
    registry.stream_opened(NodeIdentity.of("here"))
    clock.now += FORGET_AFTER_MS + 1
    assert [status.node.id for status in registry.list()] == ["here"]


def test_their_number_is_bounded_and_the_longest_silent_go_first(
    registry: ProxyRegistry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies, "MAX_PROXIES", 2)
    registry.stream_opened(NodeIdentity.of("busy"))
    for name in ("a", "b"):
        clock.now += 1
        registry.rules_reached(NodeIdentity.of(name), 1, "e")
    assert [status.node.id for status in registry.list()] == ["b", "busy"]


def test_what_nobody_opened_is_no_proxy(registry: ProxyRegistry) -> None:
    registry.resource("nobody", ResourceStatus(ECDS, "hfi", "d", "acked"))
    registry.stream_closed("nobody")
    assert registry.list() == ()
    assert registry.get("nobody") is None


def test_a_status_is_one_value_until_something_changes(registry: ProxyRegistry) -> None:
    """Others keep what they have made of it by its identity."""
    registry.stream_opened(NodeIdentity.of("n1"))
    registry.stream_opened(NodeIdentity.of("n2"))
    one, two = registry.list()
    assert registry.get("n1") is one
    registry.resource("n2", ResourceStatus(ECDS, "hfi", "d1", "sent"))
    assert registry.list()[0] is one
    assert registry.list()[1] != two
