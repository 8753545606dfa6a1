"""For which node ids a certificate speaks: those that it names itself, or that a pattern derives from a name in it.

A pattern is ``NAME -> ID``. ``NAME`` is what a name of the certificate must look like, with ``{word}`` for one part of
it: in a URI (a name with ``://``) what stands between two ``/``, in a DNS name what stands between two dots. ``ID`` is
the node id that it may then have, in which ``{word}`` is that same part and ``*`` any text. Without ``-> ID`` it is
``{node}``::

    spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}/*
    {node}.proxies.example.org
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from hfi_core.errors import NodeDenied, SettingsInvalid

_WORD = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_ARROW = "->"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection: the subject alternative names of its certificate."""

    dns: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()

    @classmethod
    def of(cls, dns: Iterable[str] = (), uris: Iterable[str] = ()) -> Self:
        """From names as they stand in the certificate."""
        return cls(frozenset(dns), frozenset(uris))

    def __str__(self) -> str:
        return ", ".join(sorted(self.dns | self.uris)) or "no DNS name and no URI"


@dataclass(frozen=True, slots=True)
class NodePattern:
    """One pattern, compiled. :meth:`parse` makes it."""

    uri: bool
    name: re.Pattern[str]
    id_template: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises :class:`~hfi_core.errors.SettingsInvalid`, which says what a pattern looks like."""
        name, arrow, node = (part.strip() for part in text.partition(_ARROW))
        node = node if arrow else "{node}"
        words = _WORD.findall(name)
        plain = _WORD.sub("", name)
        if not name or not node:
            raise _wrong(text, "needs a name of the certificate, and a node id behind '->'")
        if re.search(r"[{}*\s]", plain) or re.search(r"[{}\s]", _WORD.sub("", node)):
            raise _wrong(text, "knows {word} alone in the name, and {word} and * in the id")
        if len(words) != len(set(words)):
            raise _wrong(text, "has a {word} twice in the name")
        if "}{" in name:
            raise _wrong(text, "has two {word}s with nothing between them: which part is whose?")
        unknown = set(_WORD.findall(node)) - set(words)
        if unknown:
            raise _wrong(text, f"has {{{min(unknown)}}} in the id, and not in the name")
        uri = "://" in name
        return cls(uri, re.compile(_regex(name, "[^/]+" if uri else "[^.]+")), node)

    def admits(self, peer: Peer, node_id: str) -> bool:
        """Whether one of the peer's names may be this node."""
        for name in peer.uris if self.uri else peer.dns:
            found = self.name.fullmatch(name)
            if found and _fits(self.id_template, found.groupdict(), node_id):
                return True
        return False


@dataclass(frozen=True, slots=True)
class NodeNames:
    """Which certificate may be which node: by the patterns, or without any by a name that *is* the node id."""

    patterns: Sequence[NodePattern] = ()

    def admit(self, peer: Peer | None, node_id: str) -> None:
        """Raises :class:`~hfi_core.errors.NodeDenied`; always for a peer of which nothing is known."""
        if peer is None:
            raise NodeDenied(node_id, "no certificate")
        if self.patterns:
            admitted = any(pattern.admits(peer, node_id) for pattern in self.patterns)
        else:
            admitted = node_id in peer.dns or node_id in peer.uris
        if not admitted:
            raise NodeDenied(node_id, str(peer))


def _regex(name: str, part: str) -> str:
    pieces = _WORD.split(name)
    # split gives text, word, text, …
    return "".join(f"(?P<{piece}>{part})" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))


def _fits(template: str, words: dict[str, str], node_id: str) -> bool:
    """Whether the id is the template with the words in it. ``*`` is any text that is not empty.

    The leftmost fit of each piece between stars is the best one, so nothing is tried twice.
    """
    # Split before the words go in: a star that is part of a name is a star, and no wildcard.
    first, *pieces = [_WORD.sub(lambda word: words[word[1]], piece) for piece in template.split("*")]
    if not pieces:
        return node_id == first
    if not node_id.startswith(first):
        return False
    at, last = len(first), pieces.pop()
    for piece in pieces:
        found = node_id.find(piece, at + 1)
        if found < 0:
            return False
        at = found + len(piece)
    return node_id.endswith(last) and len(node_id) - len(last) > at


def _wrong(text: str, why: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"the node pattern {text!r} {why}; write NAME -> ID, such as 'spiffe://example.org/ns/{{ns}}/sa/{{sa}} -> "
        "{sa}/*', or '{node}.proxies.example.org'"
    )
