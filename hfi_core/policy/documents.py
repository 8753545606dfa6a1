"""Text to documents: YAML and JSON, one or several to a text.

YAML is read with JSON's types only (YAML 1.2's core schema). PyYAML's own YAML 1.1 would turn ``2026-01-01``
into a date, ``on`` into true and ``1:30`` into 90, and neither the engine nor a JSON client would then see
what the author wrote.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from hfi_core.errors import DocumentUnreadable

_TAG = "tag:yaml.org,2002:"
#: Which plain scalars are not strings: tag, pattern, and the characters that such a scalar can begin with.
_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL", "~nN"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {"": [(_TAG + "null", re.compile(r"\Z"))]}
    for tag, pattern, firsts in _SCALARS:
        for first in firsts:
            table.setdefault(first, []).append((_TAG + tag, re.compile(rf"(?:{pattern})\Z")))
    return table


class _Loader(yaml.SafeLoader):
    """Knows JSON's scalars, and refuses duplicate keys and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # An alias can make a document of a few hundred bytes unfold into gigabytes.
        if self.check_event(yaml.AliasEvent):
            mark = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, "aliases (*name) are not allowed; write the value out", mark)
        return super().compose_node(parent, index)

    def json_object(self, node: yaml.MappingNode) -> dict[str, Any]:
        """A mapping with text keys, each once."""
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key must be plain text", key.start_mark)
            if key.value in result:
                raise ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            result[key.value] = self.construct_object(value, deep=True)
        return result

    def json_int(self, node: yaml.ScalarNode) -> int:
        """A decimal number; YAML 1.1 would read a leading 0 as octal."""
        return int(node.value)

    def json_float(self, node: yaml.ScalarNode) -> float:
        """A float; YAML 1.1 would not know ``1e3``."""
        value = float(node.value)
        if math.isinf(value):
            raise ConstructorError(None, None, f"{node.value} is too large for a number", node.start_mark)
        return value


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_constructor(_TAG + "map", _Loader.json_object)
_Loader.add_constructor(_TAG + "int", _Loader.json_int)
_Loader.add_constructor(_TAG + "float", _Loader.json_float)


def parse_documents(text: str) -> list[Any]:
    """Every document of a YAML stream (JSON is YAML too); empty documents are left out.

    Raises :class:`DocumentUnreadable` with line and column.
    """
    loader = None
    try:
        loader = _Loader(text)
        documents = []
        while loader.check_data():  # type: ignore[no-untyped-call]
            documents.append(loader.get_data())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        raise DocumentUnreadable(f"not valid YAML: {error.problem or error.context}", *where) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DocumentUnreadable(f"not valid YAML: {reason}") from error
    finally:
        if loader is not None:
            loader.dispose()
    return [document for document in documents if document is not None]


def parse_json(text: str) -> Any:
    """One JSON document. Raises :class:`DocumentUnreadable` with line and column.

    NaN and the infinities, which Python would take, are refused: JSON has none. So is a key that is there twice, of
    which Python would silently take the last; the parser knows no place for it.
    """

    def refuse(name: str) -> Any:
        raise DocumentUnreadable(f"not valid JSON: {name} is not a JSON number")

    def finite(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            raise DocumentUnreadable(f"not valid JSON: {digits} is too large for a number")
        return value

    def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
            raise DocumentUnreadable(f"not valid JSON: the key {twice!r} is there twice")
        return found

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, object_pairs_hook=once_each)
    except json.JSONDecodeError as error:
        raise DocumentUnreadable(f"not valid JSON: {error.msg}", error.lineno, error.colno) from error
    except RecursionError as error:
        raise DocumentUnreadable("not valid JSON: nested too deeply") from error
    except ValueError as error:  # A whole number of more digits than Python converts.
        raise DocumentUnreadable(f"not valid JSON: {error}") from error
