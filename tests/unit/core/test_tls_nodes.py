"""For which node ids a certificate speaks."""

from __future__ import annotations

import pytest

from hfi_core.errors import NodeDenied, SettingsInvalid
from hfi_core.tls import NodeNames, NodePattern, Peer

SPIFFE = "spiffe://example.org/ns/shop/sa/checkout"


def admitted(peer: Peer, node_id: str, *patterns: str) -> bool:
    try:
        NodeNames(tuple(NodePattern.parse(text) for text in patterns)).admit(peer, node_id)
    except NodeDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("node_id", "admits"),
    [
        ("checkout-1", True),
        (SPIFFE, True),
        ("checkout-2", False),
        ("checkout-1.", False),
        ("Checkout-1", False),
        ("", False),
        ("a.example.org", False),  # The wildcard is a name like any other.
        ("*.example.org", True),
    ],
)
def test_without_patterns_the_id_is_a_name_in_it(node_id: str, admits: bool) -> None:
    peer = Peer.of(["checkout-1", "*.example.org"], [SPIFFE])
    assert admitted(peer, node_id) is admits


@pytest.mark.parametrize(
    ("pattern", "node_id", "admits"),
    [
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}/*", "checkout/pod-1", True),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}/*", "checkout/", False),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}/*", "checkout-api/pod-1", False),
        ("spiffe://example.org/ns/{ns}/sa/{sa}->*.{ns}", "anything/at.all.shop", True),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> *.{ns}", ".shop", False),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}~*~{ns}", "checkout~10.0.0.1~shop", True),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}~*~{ns}", "checkout~~shop", False),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> *-{sa}-*-*", "a-checkout-b-c", True),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> *-{sa}-*-*", "a-checkout-bc", False),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> *x*x", "axbx", True),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> *x*x", "abx", False),
        ("spiffe://example.org/ns/{ns}/sa/{sa} -> *", "whatever", True),
        ("spiffe://example.org/{sa} -> *", "whatever", False),
        ("spiffe://other.org/ns/{ns}/sa/{sa} -> *", "whatever", False),
        ("spiffe://exampleXorg/ns/{ns}/sa/{sa} -> *", "whatever", False),
        ("{node}.proxies.example.org", "checkout-1", True),
        ("{node}.proxies.example.org", "checkout-1.proxies.example.org", False),
        ("{node}.example.org", "checkout-1", False),  # A word is one part of a DNS name.
        ("{node}", "checkout-1", False),
        (f"{SPIFFE} -> c", "c", True),
        # Names of the other kind are not looked at.
        ("spiffe://{node}", "checkout-1", False),
    ],
)
def test_a_pattern_says_which_id_follows_from_which_name(pattern: str, node_id: str, admits: bool) -> None:
    peer = Peer.of(["checkout-1.proxies.example.org"], [SPIFFE])
    assert admitted(peer, node_id, pattern) is admits


def test_with_patterns_a_name_alone_is_no_id_any_more() -> None:
    assert not admitted(Peer.of(["checkout-1"]), "checkout-1", "spiffe://example.org/{node}")
    assert admitted(Peer.of(["checkout-1"]), "checkout-1", "spiffe://example.org/{node}", "{node}")


def test_a_star_in_a_certificate_is_no_wildcard() -> None:
    peer = Peer.of(["*.example.org"])
    assert admitted(peer, "*", "{node}.example.org")
    assert not admitted(peer, "checkout-1", "{node}.example.org")
    assert not admitted(peer, "checkout-1", "{node}.example.org -> {node}-*")


def test_without_a_certificate_nobody_is_a_node() -> None:
    with pytest.raises(NodeDenied, match="no certificate"):
        NodeNames().admit(None, "n")
    with pytest.raises(NodeDenied, match="no DNS name and no URI"):
        NodeNames((NodePattern.parse("{node}"),)).admit(Peer(), "n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a name"),
        (" -> x", "needs a name"),
        ("{a}.b ->", "needs a name"),
        ("*.example.org", r"knows \{word\} alone"),
        ("a b", r"knows \{word\} alone"),
        ("{A}.b", r"knows \{word\} alone"),
        ("{a}.b -> {", r"knows \{word\} alone"),
        ("{a}.{a}", "twice"),
        ("{a}{b}.c -> {a}", "nothing between"),
        ("x.example.org", r"has \{node\} in the id"),
        ("{a}.b -> {c}", r"has \{c\} in the id"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused_with_an_example(text: str, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"{told}.*write NAME -> ID"):
        NodePattern.parse(text)
