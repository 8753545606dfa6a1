"""What ``docs/policies.md`` and ``examples`` show is valid, and shows every field there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hfi_core.policy.base import Document
from hfi_core.policy.documents import parse_documents
from hfi_core.policy.engine import RuleEngine
from hfi_core.policy.model import Policy
from hfi_core.policy.validation import validate
from tests.support.policies import abort_rule, policy

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/policies.md").read_text()
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def shown() -> list[Any]:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return [document for block in blocks for document in parse_documents(block)]


def whole(part: dict[str, Any]) -> dict[str, Any]:
    """A policy with that part in its place."""
    if "kind" in part:
        return part
    if "spec" in part:
        return policy("p", **part["spec"])
    return policy("p", {**abort_rule("r"), **part})


@pytest.fixture(scope="module")
def engine() -> RuleEngine:
    return RuleEngine()


@pytest.mark.parametrize("part", shown(), ids=lambda part: next(iter(part)))
def test_what_the_page_shows_is_valid(engine: RuleEngine, part: dict[str, Any]) -> None:
    validate(whole(part), engine.check)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_valid(engine: RuleEngine, example: Path) -> None:
    for document in parse_documents(example.read_text()):
        validate(document, engine.check)


def fields(model: type[Document], seen: set[type]) -> Iterator[str]:
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in models(field.annotation):
            yield from fields(inner, seen)


def models(annotation: Any) -> Iterator[type[Document]]:
    if isinstance(annotation, type) and issubclass(annotation, Document):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from models(inner)


def test_the_page_names_every_field() -> None:
    names = set(fields(Policy, set()))
    assert {"maxActive", "anyOf", "kbps", "sigma"} <= names
    unnamed = [name for name in sorted(names) if not re.search(rf"\b{re.escape(name)}\b", PAGE)]
    assert unnamed == []
