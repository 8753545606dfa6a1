from __future__ import annotations

from typing import Any

import pytest

from hfi_core.errors import PolicyInvalid, Problem
from hfi_core.policy.delays import duration_ms
from hfi_core.policy.model import Policy, Selector
from hfi_core.policy.validation import pointer, validate
from tests.support.policies import abort_rule, policy


def no_engine(document: Any) -> list[Problem]:
    return []


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("250ms", 250), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000), ("0.5ms", 0.5)]
)
def test_durations(text: str, milliseconds: float) -> None:
    assert duration_ms(text) == milliseconds


def test_a_duration_without_unit_is_none() -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_ms("250")


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        ({}, True),
        ({"cluster": "checkout"}, True),
        ({"cluster": "cart"}, False),
        ({"labels": {"track": "canary"}}, True),
        ({"labels": {"track": "stable"}}, False),
        ({"labels": {"absent": ""}}, False),
        ({"cluster": "checkout", "labels": {"track": "canary", "zone": "a"}}, True),
        ({"cluster": "cart", "labels": {"track": "canary"}}, False),
    ],
)
def test_a_selector_covers_when_all_of_it_holds(selector: dict[str, Any], covered: bool) -> None:
    proxy_labels = {"track": "canary", "zone": "a"}
    assert Selector.model_validate(selector).covers("checkout", proxy_labels) is covered


def test_defaults_are_what_the_documents_promise() -> None:
    spec = Policy.model_validate(policy()).spec
    assert (spec.priority, spec.enabled, spec.mode, spec.include_probes) == (0, True, "enforce", False)
    fault = spec.rules[0].fault
    assert (fault.percentage, fault.start_delay_ms, fault.duration_seconds) == (100.0, 0, 0)


def test_a_policy_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Policy.model_validate(policy()).spec.priority = 3  # type: ignore[misc]


def test_the_document_keeps_what_was_written_and_adds_no_defaults() -> None:
    document = policy("p", abort_rule(percentage=25))
    assert Policy.model_validate(document).document() == document


def test_a_version_is_added_and_taken_away() -> None:
    plain = Policy.model_validate(policy())
    assert plain.with_version(7).document()["metadata"] == {"name": "p", "version": "7"}
    assert plain.with_version(7).with_version(None).document() == plain.document()


def test_pointers_are_escaped() -> None:
    assert pointer(["a/b", 0, "c~d"]) == "/a~1b/0/c~0d"
    assert pointer([]) == ""


def test_of_one_place_one_problem_is_reported_and_the_engines_are_added() -> None:
    document = policy("UPPER")

    def engine(_: Any) -> list[Problem]:
        return [Problem("/metadata/name", "the engine's words"), Problem("/spec/rules/0/fault", "only the engine saw")]

    with pytest.raises(PolicyInvalid) as refusal:
        validate(document, engine)
    first, second = refusal.value.problems
    assert first.pointer == "/metadata/name"
    assert "DNS-1123" in first.detail
    assert second == Problem("/spec/rules/0/fault", "only the engine saw")


def test_what_only_the_engine_refuses_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match="look-around"):
        validate(policy(), lambda _: [Problem("/x", "look-around is not supported")])


def test_problems_read_well() -> None:
    with pytest.raises(PolicyInvalid) as refusal:
        validate({"apiVersion": "v1", "kind": "FaultInjectionPolicy", "metadata": {"nam": "x"}, "spec": []}, no_engine)
    assert [str(problem) for problem in refusal.value.problems] == [
        "/metadata/name: is required",
        "/metadata/nam: is not a known field; look for a typing error",
        "/spec: must be an object",
    ]
    assert str(Problem("", "is nothing")) == "(document): is nothing"
