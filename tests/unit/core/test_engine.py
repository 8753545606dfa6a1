from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hfi_core.errors import ModuleUnavailable
from hfi_core.modules.catalogue import VALIDATOR
from hfi_core.policy.engine import RuleEngine
from tests.support.policies import policy
from tests.unit.core.test_modules import write

SNAPSHOT = {
    "version": "1",
    "epoch": "e",
    "server_time_ms": 0,
    "rules": [
        {
            "policy": "p",
            "name": "half",
            "mode": "enforce",
            "includeProbes": False,
            "match": {"path": {"prefix": "/a"}},
            "fault": {"percentage": 50, "abort": {"httpStatus": 500}},
        },
        {
            "policy": "p",
            "name": "all",
            "mode": "enforce",
            "includeProbes": False,
            "match": {},
            "fault": {"abort": {"httpStatus": 503}},
        },
    ],
}


def test_text_of_any_kind_is_taken() -> None:
    engine = RuleEngine()
    document = policy()
    document["metadata"]["annotations"] = {"why": "ünïcode \U0001f300 \u2028"}
    assert engine.check(document) == ()
    document["metadata"]["annotations"] = {"why": "lone surrogate \ud800"}
    assert engine.check(document) != ()


def test_explain_answers_the_chances_of_each_rule() -> None:
    answer = RuleEngine().explain(SNAPSHOT, {"method": "GET", "path": "/a?x=1", "headers": []}, 0)
    assert answer["decision"] == {"policy": "p", "rule": "all"}
    assert [(step["rule"], step["outcome"], step["probability"]) for step in answer["steps"]] == [
        ("half", "may_decide", 0.5),
        ("all", "decides", 0.5),
    ]
    assert answer["none_probability"] == 0


def test_explain_asks_rules_that_look_at_the_response_by_its_status() -> None:
    rule = {
        "policy": "p",
        "name": "late",
        "match": {"response": {"status": {"min": 500}}},
        "fault": {"response": {"status": 418}},
    }

    def outcome(**more: Any) -> str:
        asked = {"method": "GET", "path": "/", "headers": [], **more}
        return str(RuleEngine().explain({**SNAPSHOT, "rules": [rule]}, asked, 0)["steps"][0]["outcome"])

    assert [outcome(), outcome(status=None), outcome(status=503), outcome(status=200)] == [
        "awaits_response",
        "awaits_response",
        "decides",
        "no_match",
    ]


def test_a_module_that_is_none_is_said(tmp_path: Path) -> None:
    write(tmp_path, VALIDATOR, b"\0asm and then nothing")
    with pytest.raises(ModuleUnavailable):
        RuleEngine(tmp_path).warm_up()


def test_a_module_that_traps_is_said_and_the_next_call_gets_a_new_one(tmp_path: Path) -> None:
    import wasmtime

    trapping = """(module (memory (export "memory") 1)
      (func (export "hfi_alloc") (param i32) (result i32) i32.const 0)
      (func (export "hfi_free") (param i32 i32))
      (func (export "hfi_check") (param i32 i32) (result i64) unreachable))"""
    write(tmp_path, VALIDATOR, bytes(wasmtime.wat2wasm(trapping)))
    engine = RuleEngine(tmp_path)
    for _ in range(2):
        with pytest.raises(ModuleUnavailable, match="hfi_check"):
            engine.check({})


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        RuleEngine().check(json.loads("[NaN]"))
