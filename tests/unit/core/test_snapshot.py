from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hfi_core.policy.model import Policy
from hfi_core.policy.stored import encode
from hfi_core.snapshot import NodeIdentity, Snapshot, event_data, fold, from_listing
from hfi_core.store.protocol import Change, Entry, Listing
from tests.support.policies import abort_rule, policy

APPLIED = 1_000_000


def entry(document: dict[str, Any], version: int, applied: int = APPLIED) -> Entry:
    parsed = Policy.model_validate(document)
    return Entry(parsed.name, encode(parsed, applied), version)


def snapshot(*documents: dict[str, Any], revision: int = 9) -> Snapshot:
    entries = tuple(entry(document, number + 1) for number, document in enumerate(documents))
    return from_listing("e", Listing(entries, revision))


def rules(shot: Snapshot, cluster: str = "", **labels: str) -> list[dict[str, Any]]:
    parsed: list[dict[str, Any]] = json.loads(shot.view(cluster, labels).rules_json)
    return parsed


def test_rules_stand_in_the_total_order() -> None:
    shot = snapshot(
        policy("b", abort_rule("b1"), abort_rule("b2")),
        policy("a", abort_rule("a1")),
        policy("z", abort_rule("z1"), priority=5),
        policy("y", abort_rule("y1"), priority=-5),
    )
    assert [rule["name"] for rule in rules(shot)] == ["z1", "a1", "b1", "b2", "y1"]


def test_a_rule_on_the_wire_has_what_the_engine_needs() -> None:
    shot = snapshot(
        policy(
            "p",
            {
                "name": "r",
                "match": {"path": {"exact": "/a"}},
                "fault": {"delay": {"fixedDelay": "1s"}, "duration_seconds": 60},
            },
            mode="shadow",
            includeProbes=True,
        )
    )
    assert rules(shot) == [
        {
            "policy": "p",
            "name": "r",
            "mode": "shadow",
            "includeProbes": True,
            "ends_at_ms": APPLIED + 60_000,
            "match": {"path": {"exact": "/a"}},
            "fault": {"delay": {"fixedDelay": "1s"}, "duration_seconds": 60},
        }
    ]


def test_disabled_policies_are_in_no_view() -> None:
    assert rules(snapshot(policy("p", enabled=False))) == []


def test_a_view_holds_what_its_selector_covers() -> None:
    shot = snapshot(
        policy("all", abort_rule("all")),
        policy("cart", abort_rule("cart"), selector={"cluster": "cart"}),
        policy("canary", abort_rule("canary"), selector={"labels": {"track": "canary"}}),
    )
    assert [rule["name"] for rule in rules(shot, "cart")] == ["all", "cart"]
    assert [rule["name"] for rule in rules(shot, "checkout", track="canary")] == ["all", "canary"]
    assert shot.selector_keys == {"track"}
    assert shot.view("cart", {}).rule_count == 2


def test_equal_content_has_an_equal_digest_whatever_the_version() -> None:
    one, two = snapshot(policy("p"), revision=3), snapshot(policy("p"), revision=8)
    assert one.view("", {}).digest == two.view("", {}).digest
    assert one.view("", {}).digest != snapshot(policy("q")).view("", {}).digest


def test_folding_changes_gives_what_a_new_listing_gives() -> None:
    before = snapshot(policy("a"), policy("b"))
    after = fold(
        before,
        [
            Change("a", None, 10),
            Change("c", entry(policy("c"), 11), 11),
            Change("b", entry(policy("b", priority=3), 12), 12),
        ],
        12,
    )
    listed = from_listing("e", Listing((entry(policy("b", priority=3), 12), entry(policy("c"), 11)), 12))
    assert after == listed
    assert before.policies.keys() == {"a", "b"}


def test_a_value_that_cannot_be_read_leaves_out_that_policy_alone() -> None:
    shot = from_listing(
        "e",
        Listing(
            (
                entry(policy("good"), 1),
                Entry("not-json", b"{", 2),
                Entry("no-time", json.dumps({"policy": policy("no-time"), "appliedAtMs": "now"}).encode(), 3),
                Entry("other-name", encode(Policy.model_validate(policy("name")), 1), 4),
                Entry("invalid", json.dumps({"policy": {}, "appliedAtMs": 1}).encode(), 5),
            ),
            5,
        ),
    )
    assert shot.policies.keys() == {"good"}
    assert shot.broken.keys() == {"not-json", "no-time", "other-name", "invalid"}
    assert "does not agree with its key" in shot.broken["other-name"]
    mended = fold(shot, [Change("invalid", entry(policy("invalid"), 6), 6), Change("not-json", None, 7)], 7)
    assert mended.policies.keys() == {"good", "invalid"}
    assert mended.broken.keys() == {"no-time", "other-name"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace('"priority":1', '"priority":1,"priority":2'), "'priority' is there twice"),
        (lambda text: text.replace('"priority":1', '"priority":NaN'), "NaN is not a JSON number"),
        (lambda text: text.replace('"priority":1', '"priority":' + "[" * 100_000), "nested too deeply"),
        (lambda text: text.encode("utf-16"), "utf-8"),
    ],
    ids=["twice", "nan", "deep", "utf-16"],
)
def test_what_was_written_past_the_api_is_read_as_strictly_as_by_it(
    change: Callable[[str], str | bytes], why: str
) -> None:
    good = entry(policy("p", priority=1), 1)
    changed = change(good.value.decode())
    assert changed != good.value.decode()
    value = changed.encode() if isinstance(changed, str) else changed
    shot = from_listing("e", Listing((Entry("p", value, 1), entry(policy("q"), 2)), 2))
    assert shot.policies.keys() == {"q"}
    assert why in shot.broken["p"]


def test_the_event_carries_the_time_of_its_sending() -> None:
    shot = snapshot(policy("p"), revision=1842)
    data = event_data(shot, shot.view("", {}), 1234)
    assert b"\n" not in data
    event = json.loads(data)
    assert (event["version"], event["epoch"], event["server_time_ms"]) == ("1842", "e", 1234)
    assert [rule["name"] for rule in event["rules"]] == ["r"]


def test_the_status_tells_when_a_policy_ends() -> None:
    ending = snapshot(policy("p", abort_rule("a", duration_seconds=10), abort_rule("b", duration_seconds=30))).policies[
        "p"
    ]
    assert ending.document()["status"] == {"appliedAtMs": APPLIED, "expiresAtMs": APPLIED + 30_000}
    endless = snapshot(policy("p", abort_rule("a", duration_seconds=10), abort_rule("b"))).policies["p"]
    assert endless.expires_at_ms is None
    assert endless.rule_ends_ms == (APPLIED + 10_000, None)
    assert endless.document()["status"] == {"appliedAtMs": APPLIED}
    assert endless.document()["metadata"]["version"] == "1"


def test_labels_of_an_identity_have_no_order() -> None:
    assert NodeIdentity.of("n", "c", {"b": "2", "a": "1"}) == NodeIdentity("n", "c", (("a", "1"), ("b", "2")))
