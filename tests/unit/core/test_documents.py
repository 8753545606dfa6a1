from __future__ import annotations

from typing import Any

import pytest

from hfi_core.errors import DocumentUnreadable
from hfi_core.policy.documents import parse_documents, parse_json


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("a: 1", [{"a": 1}]),
        ("a: 1\n---\nb: 2\n---\n", [{"a": 1}, {"b": 2}]),
        ("", []),
        ("# only a comment\n", []),
        ('{"a": [1, 2.5, true, null, "x"]}', [{"a": [1, 2.5, True, None, "x"]}]),
        ("when: 2026-01-01", [{"when": "2026-01-01"}]),
        ("power: on\nanswer: yes\nratio: 1:30", [{"power": "on", "answer": "yes", "ratio": "1:30"}]),
        ("octal: 0123", [{"octal": 123}]),
        ("small: 1e-3\nhalf: .5\nbig: -2E2", [{"small": 0.001, "half": 0.5, "big": -200.0}]),
        ("quoted: '1842'", [{"quoted": "1842"}]),
        ("7: key", [{"7": "key"}]),
        ("empty:", [{"empty": None}]),
        ("set: {a: ~, b: NULL}", [{"set": {"a": None, "b": None}}]),
    ],
)
def test_yaml_has_the_types_of_json(text: str, documents: list[Any]) -> None:
    assert parse_documents(text) == documents


@pytest.mark.parametrize(
    ("text", "words", "line", "column"),
    [
        ("a: [1", "not valid YAML", 1, 6),
        ("a: 1\n b: 2", "not valid YAML", 2, 3),
        ("a: 1\na: 2", "the key 'a' is there twice", 2, 1),
        ("? [a]\n: b", "a key must be plain text", 1, 3),
        ("a: &x 1\nb: *x", "aliases", 2, 4),
        ("a: !!python/object:os.system 1", "could not determine a constructor", 1, 4),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, words: str, line: int, column: int) -> None:
    with pytest.raises(DocumentUnreadable, match=words) as refusal:
        parse_documents(text)
    assert (refusal.value.line, refusal.value.column) == (line, column)


@pytest.mark.parametrize("text", ["\x00", "a: " + "[" * 5000, "a: !!int x"])
def test_what_no_place_is_known_of_is_refused_all_the_same(text: str) -> None:
    with pytest.raises(DocumentUnreadable, match="not valid YAML"):
        parse_documents(text)


def test_json() -> None:
    assert parse_json('{"a": 1.5}') == {"a": 1.5}
    assert parse_json('[{"a": {"a": 1}}, {"a": 2}]') == [{"a": {"a": 1}}, {"a": 2}]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"x": [{"spec": 1, "b": 2, "spec": 3}]}', "spec"),
        ('{"é": 1, "\\u00e9": 2}', "é"),
        ('{"": 1, "": 2}', ""),
    ],
)
def test_a_key_that_is_there_twice_is_refused_in_json_as_in_yaml(text: str, key: str) -> None:
    with pytest.raises(DocumentUnreadable, match=f"the key {key!r} is there twice"):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [('{"a": 1,\n}', (2, 1)), ("", (1, 1)), ('{"a": NaN}', (None, None)), ("[" * 100_000, (None, None))],
)
def test_bad_json_is_said_with_its_place(text: str, place: tuple[int | None, int | None]) -> None:
    with pytest.raises(DocumentUnreadable, match="not valid JSON") as refusal:
        parse_json(text)
    assert (refusal.value.line, refusal.value.column) == place
