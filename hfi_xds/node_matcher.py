"""Which nodes a caller of the status service means (``envoy.type.matcher.v3.NodeMatcher``). Pure.

Laws:

1. A node is meant when any of the matchers matches it; without a matcher every node is.
2. A matcher matches when its ``node_id`` and each of its ``node_metadatas`` do; an empty one matches every node.
3. Of a node's metadata HFI knows the labels: ``hfi.labels.<name>``, all of them texts. Whatever else a path leads to
   is not there: only a matcher of what is absent matches it.
4. What HFI cannot do is refused, and not taken for a matcher that matches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hfi_core.snapshot import NodeIdentity
from hfi_xds import pb
from hfi_xds.errors import StreamRefused

#: Of one request. A caller that needs more can filter what it is sent.
MAX_MATCHERS = 100
_DEPTH = 8
_OFFER = "exact, prefix, suffix or contains"

_Value = str | Mapping[str, "_Value"] | None


def check(matchers: Sequence[pb.NodeMatcher]) -> None:
    """Raises :class:`StreamRefused` when there is something among them that HFI cannot do."""
    if len(matchers) > MAX_MATCHERS:
        raise StreamRefused("INVALID_ARGUMENT", f"more than {MAX_MATCHERS} node matchers")
    for matcher in matchers:
        if matcher.HasField("node_id"):
            _check_text(matcher.node_id, "node_id")
        for part in matcher.node_metadatas:
            if not part.path or any(segment.WhichOneof("segment") is None for segment in part.path):
                raise StreamRefused("INVALID_ARGUMENT", "node_metadatas: each path needs segments with a key")
            _check_value(part.value, 0)


def meant(matchers: Sequence[pb.NodeMatcher], node: NodeIdentity) -> bool:
    """Whether these matchers, which :func:`check` has let through, mean this node."""
    metadata: _Value = {"hfi": {"labels": dict(node.labels)}}
    return not matchers or any(_matches(matcher, node.id, metadata) for matcher in matchers)


def _check_text(matcher: pb.StringMatcher, where: str) -> None:
    if matcher.WhichOneof("match_pattern") is None:
        raise StreamRefused("INVALID_ARGUMENT", f"{where}: a text is matched by {_OFFER}")


def _check_value(matcher: pb.ValueMatcher, depth: int) -> None:
    kind = matcher.WhichOneof("match_pattern")
    if kind is None or depth > _DEPTH:
        raise StreamRefused(
            "INVALID_ARGUMENT",
            "node_metadatas: a value is matched by string_match, present_match, bool_match, null_match, or or_match "
            f"of these, nested up to {_DEPTH} deep",
        )
    if kind == "string_match":
        _check_text(matcher.string_match, "node_metadatas")
    for inner in matcher.or_match.value_matchers:
        _check_value(inner, depth + 1)


def _matches(matcher: pb.NodeMatcher, node_id: str, metadata: _Value) -> bool:
    if matcher.HasField("node_id") and not _text(matcher.node_id, node_id):
        return False
    return all(
        _value(part.value, _found(metadata, [segment.key for segment in part.path])) for part in matcher.node_metadatas
    )


def _found(value: _Value, path: Sequence[str]) -> _Value:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _value(matcher: pb.ValueMatcher, value: _Value) -> bool:
    match matcher.WhichOneof("match_pattern"):
        case "string_match":
            return isinstance(value, str) and _text(matcher.string_match, value)
        case "present_match":
            return matcher.present_match == (value is not None)
        case "or_match":
            return any(_value(inner, value) for inner in matcher.or_match.value_matchers)
        case _:
            # A truth value or null: labels are texts, and what is missing is neither.
            return False


def _text(matcher: pb.StringMatcher, text: str) -> bool:
    kind = matcher.WhichOneof("match_pattern") or "exact"
    pattern: str = getattr(matcher, kind)
    if matcher.ignore_case:
        pattern, text = pattern.lower(), text.lower()
    match kind:
        case "prefix":
            return text.startswith(pattern)
        case "suffix":
            return text.endswith(pattern)
        case "contains":
            return pattern in text
        case _:
            return text == pattern
