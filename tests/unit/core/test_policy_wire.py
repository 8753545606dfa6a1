"""Rules as a snapshot carries them: what is not said is not sent, and a rule that counts says since when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hfi_core.policy.model import Policy
from hfi_core.policy.stored import StoredPolicy, decode, encode
from hfi_core.store.protocol import Entry
from tests.support.policies import abort_rule, policy

APPLIED = 1_764_000_000_000


def stored(document: dict[str, Any], applied: int = APPLIED) -> StoredPolicy:
    return StoredPolicy(Policy.model_validate(document), 7, applied)


def wire(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(rule) for rule in stored(document).wire_rules]


def test_a_rule_that_says_nothing_new_looks_as_it_always_did() -> None:
    assert stored(policy()).wire_rules == (
        b'{"policy":"p","name":"r","mode":"enforce","includeProbes":false,"match":{},"fault":{"abort":{"httpStatus":503}}}',
    )


@pytest.mark.parametrize("spec", [{"mark": True}, {"exclude": []}, {"seed": None}, {"limits": None}])
def test_defaults_are_not_sent(spec: dict[str, Any]) -> None:
    assert wire(policy("p", **spec)) == wire(policy("p"))


def test_what_the_policy_says_is_with_each_of_its_rules() -> None:
    spec: dict[str, Any] = {
        "mark": False,
        "seed": 0,
        "exclude": [{"path": {"prefix": "/admin"}, "not": {"query": [{"name": "force", "present": True}]}}],
        "limits": {"maxActive": 10},
    }
    rules = wire(policy("p", abort_rule("a"), abort_rule("b"), **spec))
    assert [rule["name"] for rule in rules] == ["a", "b"]
    for rule in rules:
        assert {key: rule[key] for key in spec} == spec


@pytest.mark.parametrize(
    ("fault", "spec"),
    [
        ({"abort": {"httpStatus": 503}, "times": 2}, {}),
        ({"sequence": [503, "pass"]}, {}),
        ({"abort": {"httpStatus": 503}}, {"seed": 0}),
        ({"abort": {"httpStatus": 503}}, {"limits": {"maxPerSecond": 5}}),
    ],
)
def test_a_rule_that_counts_says_since_when(fault: dict[str, Any], spec: dict[str, Any]) -> None:
    (rule,) = wire(policy("p", {"name": "r", "fault": fault}, **spec))
    assert rule["applied_at_ms"] == APPLIED


@pytest.mark.parametrize(
    "fault",
    [
        {"abort": {"httpStatus": 503}, "percentage": 5},
        {"abort": {"httpStatus": 503}, "sticky": {"header": "x-user-id"}},
        {"delay": {"fixedDelay": "1s"}, "start_delay_ms": 5},
    ],
)
def test_a_rule_that_does_not_count_stays_as_it_is_when_its_policy_is_applied_anew(fault: dict[str, Any]) -> None:
    document = policy("p", {"name": "r", "fault": fault})
    assert stored(document).wire_rules == stored(document, APPLIED + 60_000).wire_rules


def test_the_counting_rule_of_a_policy_alone_changes_when_it_is_applied_anew() -> None:
    document = policy("p", abort_rule("a"), abort_rule("b", times=1))
    before, after = stored(document).wire_rules, stored(document, APPLIED + 1).wire_rules
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_match_and_fault_go_out_under_the_names_they_were_written_with() -> None:
    match = {
        "authority": {"suffix": ".example.com"},
        "query": [{"name": "q", "exact": "a b"}],
        "grpc": {"service": "shop.v1.Cart"},
        "attempt": {"min": 2},
        "anyOf": [{"not": {"method": {"exact": "GET"}}}, {}],
        "response": {"status": {"min": 500}},
    }
    fault = {
        "delay": {"logNormal": {"median": "20ms", "sigma": 0.5, "max": "2s"}, "phase": "response"},
        "response": {"status": 200, "headers": {"set": {"a": "b"}, "remove": ["c"]}, "truncate": {"bytes": 5}},
        "sticky": {"header": "x-user-id"},
    }
    (rule,) = wire(policy("p", {"name": "r", "match": match, "fault": fault}))
    assert rule["match"] == match
    assert rule["fault"] == fault


def test_what_is_stored_is_read_again() -> None:
    document = policy(
        "p",
        {"name": "r", "match": {"anyOf": [{"grpc": {}}]}, "fault": {"abort": {"grpcStatus": 14, "grpcMessage": "no"}}},
        seed=5,
        limits={"maxActive": 1},
    )
    value = encode(Policy.model_validate(document), APPLIED)
    assert decode(Entry("p", value, 7)) == stored(document)
