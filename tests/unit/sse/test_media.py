from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfi_core.policy.documents import parse_documents
from hfi_sse.media import dump_yaml, preferred

OFFERS = ("application/json", "application/yaml", "text/yaml")


@pytest.mark.parametrize(
    ("accept", "wins"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/yaml", "application/yaml"),
        ("APPLICATION/YAML", "application/yaml"),
        ("application/json, application/yaml", "application/json"),
        ("application/json;q=0.5, application/yaml", "application/yaml"),
        ("application/yaml;q=0.5, */*", "application/json"),
        ("text/*", "text/yaml"),
        ("application/*;q=0.2, application/yaml;q=0.1, text/yaml;q=0.3", "text/yaml"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "application/yaml"),
        ("application/yaml;q=high", "application/json"),
        ("image/png", "application/json"),
    ],
)
def test_what_a_client_prefers(accept: str | None, wins: str) -> None:
    assert preferred(accept, OFFERS) == wins


#: Text that some version of YAML takes for something else.
SPECIAL = ["1e3", "on", "yes", "1:30", "2026-01-01", "0x1f", "017", ".5", "-", "~", "null", "=", "1_000", "<<", "+.1"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\ufffe\uffff"))
    | st.sampled_from(SPECIAL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdef", min_size=1), VALUES, max_size=4))
def test_yaml_is_read_back_as_it_was(value: dict[str, Any]) -> None:
    assert parse_documents(dump_yaml(value)) == [value]


def test_equal_parts_are_written_out() -> None:
    part = {"a": "b"}
    assert "*" not in dump_yaml([part, part]), "aliases are refused on input"
