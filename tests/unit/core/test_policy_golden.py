"""The model against the golden set. The engine reads the same files (``wasm_filter/engine``)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hfi_core.errors import PolicyInvalid
from hfi_core.policy.engine import RuleEngine
from hfi_core.policy.validation import validate
from tests.support.golden import ROOT, Golden, invalid_policies, valid_policies


def _said_by_the_model(document: Any) -> set[str]:
    try:
        validate(document, lambda _: [])
    except PolicyInvalid as refusal:
        return {problem.pointer for problem in refusal.problems}
    return set()


@pytest.fixture(scope="module")
def engine() -> RuleEngine:
    return RuleEngine()


def test_the_golden_set_is_there() -> None:
    assert len(valid_policies()) >= 70
    assert len(invalid_policies()) >= 300


@pytest.mark.parametrize("case", valid_policies(), ids=lambda case: case.name)
def test_valid_is_accepted_by_the_model_and_by_the_engine(engine: RuleEngine, case: Golden) -> None:
    policy = validate(case.document, engine.check)
    again = validate(policy.document(), engine.check)
    assert again == policy


@pytest.mark.parametrize("case", invalid_policies(), ids=lambda case: case.name)
def test_invalid_is_refused_with_each_problem_at_its_place(engine: RuleEngine, case: Golden) -> None:
    with pytest.raises(PolicyInvalid) as refusal:
        validate(case.document, engine.check)
    assert sorted(problem.pointer for problem in refusal.value.problems) == sorted(case.problems)
    assert all(problem.detail for problem in refusal.value.problems)


@pytest.mark.parametrize("case", invalid_policies(), ids=lambda case: case.name)
def test_the_model_alone_says_nothing_else_and_misses_only_what_takes_a_regex_compiler(case: Golden) -> None:
    found = _said_by_the_model(case.document)
    assert found <= set(case.problems)
    assert found or all(pointer.endswith("/regex") for pointer in case.problems)


@pytest.mark.parametrize("case", invalid_policies(), ids=lambda case: case.name)
def test_the_engine_alone_refuses_the_same_at_the_same_places(engine: RuleEngine, case: Golden) -> None:
    assert sorted(problem.pointer for problem in engine.check(case.document)) == sorted(case.problems)


def test_the_matching_set_has_the_same_verdicts_through_webassembly(engine: RuleEngine) -> None:
    files = sorted((ROOT / "matching").glob("*.json"))
    assert files
    for path in files:
        for case in json.loads(path.read_text())["cases"]:
            answer = engine.explain(case["snapshot"], case["request"], case.get("now_ms", 0))
            assert answer["decision"] == case["decision"], f"{path.name}: {case['about']}"
