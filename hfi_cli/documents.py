"""Policy documents from files, each with the place it came from, so that a problem can name its line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hfi_cli.errors import UsageError
from hfi_core.errors import DocumentUnreadable
from hfi_core.policy.documents import parse_documents, parse_json

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


@dataclass(frozen=True)
class Located:
    """A document, the file it is from, and its number there, counted from 1 (0: it is the only one)."""

    document: Any
    file: str
    number: int = 0
    node: yaml.Node | None = field(default=None, repr=False)

    @property
    def name(self) -> str | None:
        """The policy's name, when the document has one."""
        metadata = self.document.get("metadata") if isinstance(self.document, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else None

    def __str__(self) -> str:
        number = f", document {self.number}" if self.number else ""
        return f"{self.file}{number}" + (f" ({self.name})" if self.name else "")

    def place(self, pointer: str) -> str:
        """``FILE:LINE`` of a JSON pointer, or the file alone when the line is not known.

        A member that is missing is looked for where it should have been: the line is that of its parent.
        """
        line = line_of(self.node, pointer)
        return self.file if line is None else f"{self.file}:{line}"


def line_of(node: yaml.Node | None, pointer: str) -> int | None:
    """The line, counted from 1, of what a JSON pointer names, or of the nearest thing around it that exists."""
    if node is None:
        return None
    line: int = node.start_mark.line
    for part in pointer.split("/")[1:]:
        step = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and step.isdecimal() and int(step) < len(node.value):
            node = node.value[int(step)]
            line = node.start_mark.line
        else:
            break
    return line + 1


def read(names: Sequence[str]) -> list[Located]:
    """Every document of these files, directories (their YAML and JSON files, by name) and ``-`` (standard input).

    Raises :class:`~hfi_cli.errors.UsageError` for what cannot be read, holds nothing, or names a policy twice.
    """
    found = [located for file, text in _texts(names) for located in parse(file, text)]
    if not found:
        raise UsageError(f"no policy in {', '.join(names)}")
    first: dict[str, Located] = {}
    for located in found:
        if located.name is None:
            continue
        if located.name in first:
            raise UsageError(f"two documents name the policy {located.name}: {first[located.name]} and {located}")
        first[located.name] = located
    return found


def parse(file: str, text: str) -> list[Located]:
    """The documents of one file. A list at the top holds one in each element, as ``-o json`` prints them."""
    documents = _parse(file, text)
    nodes: list[yaml.Node | None] = [*_nodes(text)]
    if len(nodes) != len(documents):
        nodes = [None] * len(documents)
    pairs: list[tuple[Any, yaml.Node | None]] = []
    for document, node in zip(documents, nodes, strict=True):
        if isinstance(document, list):
            inner = node.value if isinstance(node, yaml.SequenceNode) else [None] * len(document)
            pairs += zip(document, inner, strict=True)
        else:
            pairs.append((document, node))
    alone = len(pairs) == 1
    return [Located(document, file, 0 if alone else n, node) for n, (document, node) in enumerate(pairs, 1)]


def _parse(file: str, text: str) -> list[Any]:
    # JSON first where it may be JSON: YAML does not allow the tabs that JSON does.
    json_error = None
    if text.lstrip().startswith(("{", "[")):
        try:
            return [parse_json(text)]
        except DocumentUnreadable as error:
            json_error = error
    try:
        return parse_documents(text)
    except DocumentUnreadable as error:
        shown = json_error if json_error is not None and file.endswith(".json") else error
        place = file if shown.line is None else f"{file}:{shown.line}:{shown.column}"
        raise UsageError(f"{place}: {shown.detail}") from shown


def _nodes(text: str) -> Iterator[yaml.Node]:
    """The syntax trees of the documents that are not empty; none at all for JSON that is no YAML."""
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    yield from (node for node in nodes if node is not None and node.tag != "tag:yaml.org,2002:null")


def _texts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            if name == STDIN:
                yield "standard input", _decode("standard input", sys.stdin.buffer.read())
            elif Path(name).is_dir():
                inside = sorted(path for path in Path(name).iterdir() if path.suffix in SUFFIXES and path.is_file())
                if not inside:
                    raise UsageError(f"the directory {name} holds no file that ends in {', '.join(SUFFIXES)}")
                for path in inside:
                    yield str(path), _decode(str(path), path.read_bytes())
            else:
                yield name, _decode(name, Path(name).read_bytes())
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror}") from error


def _decode(file: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from error
