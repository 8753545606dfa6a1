"""What reaches the application of the tests, and what it answers: whatever the request asks for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

#: Shows that an answer is the application's own.
MARK = ("x-upstream", "tests")
#: The request header that says, as JSON, what to answer (:func:`wanted`).
WANTED = "x-wanted"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived, whole. Header names are in lower case, ``target`` is the path with its query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    length: int
    sha256: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    def values(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``fields`` are all of its headers, by which HTTP/1.1 frames it, too. HTTP/2 alone has ``trailers``."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    chunked: bool = False
    trailers: tuple[tuple[str, str], ...] = ()


def body_of(length: int) -> bytes:
    """The bytes of a body that was asked for by length: no two windows of some size in it are alike by accident."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def wanted(**how: Any) -> tuple[str, str]:
    """The header by which to ask for an answer: ``status``, ``length`` of its body, ``chunked``, ``headers``,
    ``trailers``.
    """
    return (WANTED, json.dumps(how))


def reply(seen: Seen) -> Reply:
    """Answers 200 and what was seen, as JSON, where nothing else is asked for."""
    asked = json.loads(next(iter(seen.values(WANTED)), "{}"))
    status, chunked = asked.get("status", 200), asked.get("chunked", False)
    facts = {"method": seen.method, "target": seen.target, "length": seen.length, "sha256": seen.sha256}
    body = body_of(asked["length"]) if "length" in asked else json.dumps(facts).encode()
    fields = [("content-type", "application/json"), MARK, *asked.get("headers", {}).items()]
    if status in (204, 304):
        body = b""
    elif not chunked:
        fields.append(("content-length", str(len(body))))
    trailers = tuple(asked.get("trailers", {}).items())
    return Reply(status, tuple(fields), b"" if seen.method == "HEAD" else body, chunked, trailers)
