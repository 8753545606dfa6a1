"""The models of faults and matchers, where the golden set does not look: defaults, words, and what follows."""

from __future__ import annotations

from typing import Any

import pytest

from hfi_core.errors import PolicyInvalid
from hfi_core.policy.delays import duration_ms
from hfi_core.policy.faults import Fault
from hfi_core.policy.matchers import MAX_DEPTH, RequestMatch
from hfi_core.policy.model import Policy
from hfi_core.policy.validation import validate
from tests.support.policies import policy


def problems(fault: dict[str, Any], match: dict[str, Any] | None = None, **spec: Any) -> dict[str, str]:
    rule: dict[str, Any] = {"name": "r", "fault": fault}
    if match is not None:
        rule["match"] = match
    with pytest.raises(PolicyInvalid) as refusal:
        validate(policy("p", rule, **spec), lambda _: [])
    return {problem.pointer.removeprefix("/spec/rules/0"): problem.detail for problem in refusal.value.problems}


def test_defaults_are_what_the_documents_promise() -> None:
    spec = Policy.model_validate(policy()).spec
    assert (spec.mark, spec.seed, spec.exclude, spec.limits) == (True, None, (), None)
    fault = Fault.model_validate({"delay": {"fixedDelay": "1s"}})
    assert fault.delay is not None
    assert fault.delay.phase == "request"
    assert (fault.sticky, fault.times, fault.sequence, fault.request, fault.response) == (None,) * 5


@pytest.mark.parametrize(("longer", "shorter"), [("66.000001s", "1.1m"), ("0.000002ms", "0.000001ms")])
def test_durations_are_told_apart_to_the_nanosecond(longer: str, shorter: str) -> None:
    assert "above its max" in problems({"delay": {"uniform": {"min": longer, "max": shorter}}})["/fault/delay/uniform"]
    Fault.model_validate({"delay": {"uniform": {"min": shorter, "max": longer}}})


def test_a_decimal_duration_is_what_it_says() -> None:
    assert duration_ms("1.1m") == duration_ms("66s") == 66_000
    assert duration_ms("0.000001ms") == 0.000001


def test_percentiles_are_ordered_by_number_whatever_their_order_in_the_document() -> None:
    Fault.model_validate({"delay": {"percentiles": {"p100": "3s", "p9": "10ms", "p99.9": "1s", "p10": "10ms"}}})


@pytest.mark.parametrize(
    ("fault", "counts"),
    [
        ({"abort": {"reset": True}}, False),
        ({"abort": {"reset": True}, "sticky": {"header": "a"}}, False),
        ({"abort": {"reset": True}, "times": 1}, True),
        ({"sequence": ["pass", 500]}, True),
    ],
)
def test_times_and_sequence_count(fault: dict[str, Any], counts: bool) -> None:
    assert Fault.model_validate(fault).counts is counts


def test_a_step_is_kept_as_it_was_written() -> None:
    fault = Fault.model_validate({"sequence": [503, "pass"]})
    assert fault.sequence == (503, "pass")


def test_what_does_not_go_together_is_said_in_words() -> None:
    assert problems({"abort": {"httpStatus": 503, "reset": True}}) == {
        "/fault/abort": "holds httpStatus and reset; exactly one of httpStatus, grpcStatus, reset is allowed"
    }
    assert problems({"abort": {"reset": True, "body": "x", "headers": {"a": "b"}}}) == {
        "/fault/abort/body": "goes with httpStatus only",
        "/fault/abort/headers": "goes with httpStatus and grpcStatus only",
    }
    assert problems({"response": {"body": "x", "bandwidth": {"kbps": 1}}}) == {
        "/fault/response": "holds body and bandwidth; only one of them is allowed: "
        "the bandwidth slows the upstream's own body, which is replaced"
    }
    assert problems({"abort": {"httpStatus": 503, "headers": {"X-HFI-Fault": "mine"}}}) == {
        "/fault/abort/headers/X-HFI-Fault": "is HFI's own mark; mark: false in the spec leaves it away"
    }
    assert "exactly one of fixedDelay, uniform" in problems({"delay": {"phase": "response"}})["/fault/delay"]


def test_a_rule_that_looks_at_the_response_says_what_comes_too_late_each_at_its_place() -> None:
    late = {
        "delay": {"fixedDelay": "1s"},
        "request": {"headers": {"remove": ["authorization"]}},
        "response": {"bandwidth": {"kbps": 64}},
    }
    found = problems(late, {"response": {"status": {"min": 500}}})
    assert sorted(found) == ["/fault/delay", "/fault/request", "/fault/response/bandwidth"]
    assert "phase: response" in found["/fault/delay"]


def test_matches_may_lie_four_deep_and_one_that_was_refused_leaves_nothing_behind() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {} if depth == 1 else {"anyOf": [{}, nested(depth - 1)]}

    for _ in range(2):
        RequestMatch.model_validate(nested(MAX_DEPTH))
        with pytest.raises(ValueError, match="nested too deeply"):
            RequestMatch.model_validate(nested(MAX_DEPTH + 1))


def test_the_document_keeps_the_order_and_the_names_of_the_schema() -> None:
    match = {"query": [{"name": "q", "exact": "1"}], "anyOf": [{"path": {"exact": "/a"}}], "not": {"grpc": {}}}
    document = policy("p", {"name": "r", "match": match, "fault": {"abort": {"reset": True}}})
    again = Policy.model_validate(document).document()
    assert again == document
    assert list(again["spec"]["rules"][0]["match"]["query"][0]) == ["name", "exact"]
