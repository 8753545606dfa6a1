"""Conditional requests: ``ETag``, ``If-Match`` and ``If-None-Match`` (RFC 9110, section 13).

A policy's ETag is its version in quotes, a filter module's its digest. One divergence from the RFC: a condition that
does not hold is answered with 409 and not with 412, so that a stale ``If-Match`` and a stale ``metadata.version``,
which mean the same, look the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers

from hfi_core.errors import PolicyConflict, PolicyNotFound
from hfi_core.policies import Applied, PolicyService
from hfi_sse.errors import ParameterInvalid, PreconditionFailed

# Digits without quotes are taken as well: people type them. A weak tag never matches here, as the RFC says.
_TAG = re.compile(r'\s*(?:(W/)?"([^"]*)"|([0-9]+))\s*(?:,|$)')


def etag(version: int) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def _tags(name: str, text: str, what: str) -> Iterator[str]:
    """The strong ones."""
    at = 0
    while at < len(text):
        found = _TAG.match(text, at)
        if found is None:
            raise ParameterInvalid(name, f"must be * or {what}, not {text!r}")
        if not found[1]:
            yield found[2] if found[3] is None else found[3]
        at = found.end()


def _versions(name: str, text: str) -> frozenset[int]:
    tags = _tags(name, text, 'versions in quotes, such as "1842"')
    return frozenset(int(tag) for tag in tags if re.fullmatch(r"[0-9]{1,19}", tag))


def digests(headers: Headers) -> frozenset[str] | None:
    """Of which digests a module must be that is deleted; None: of any. Raises :class:`ParameterInvalid`."""
    text = headers.get("if-match")
    if headers.get("if-none-match") is not None:
        raise ParameterInvalid("if-none-match", "makes no sense for what is deleted")
    if text is None or text.strip() == "*":
        return None
    return frozenset(_tags("if-match", text, "digests in quotes"))


@dataclass(frozen=True, slots=True)
class Condition:
    """What a write asks of the stored version (0: there is none). Neither member set: nothing."""

    versions: frozenset[int] | None = None
    exists: bool = False

    def holds(self, version: int) -> bool:
        """Whether a policy at that version may be written."""
        if self.exists:
            return version > 0
        return self.versions is None or version in self.versions


def condition(headers: Headers) -> Condition:
    """The condition of a request's headers. Raises :class:`ParameterInvalid`."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and none_match is not None:
        raise ParameterInvalid("if-match", "cannot be combined with if-none-match")
    if none_match is not None:
        if none_match.strip() != "*":
            raise ParameterInvalid("if-none-match", "must be * in a write: the policy must not exist yet")
        return Condition(versions=frozenset({0}))
    if match is None:
        return Condition()
    if match.strip() == "*":
        return Condition(exists=True)
    versions = _versions("if-match", match)
    if not versions:
        raise PreconditionFailed(f"if-match: {match!r} names no version that a policy could have")
    return Condition(versions=versions)


def unmodified(headers: Headers, version: int) -> bool:
    """Whether a read with ``If-None-Match`` is to be answered with 304."""
    text = headers.get("if-none-match")
    return text is not None and (text.strip() == "*" or version in _versions("if-none-match", text))


async def apply_under(policies: PolicyService, wanted: Condition, document: Any, *, dry_run: bool) -> Applied:
    """Apply a document under a condition, atomically.

    The store compares with one version, so a condition that allows several is tried with the one that is
    there, until it does not hold or the write has gone through.
    """
    if wanted == Condition():
        return await policies.apply(document, dry_run=dry_run)
    policy = policies.validate(document)
    own = policy.metadata.version
    if own is not None and not wanted.holds(int(own)):
        raise ParameterInvalid("if-match", f"does not agree with the document's metadata.version, {own!r}")
    expected = int(own) if own is not None else _stored(policies, policy.name)
    if not wanted.holds(expected):
        # Compared with the store and not with our snapshot, which may be a moment behind.
        expected = min(wanted.versions or {1})
    while True:
        try:
            return await policies.apply(document, expected=expected, dry_run=dry_run)
        except PolicyConflict as conflict:
            if wanted.exists and conflict.actual == 0:
                raise PreconditionFailed(
                    f"there is no policy named {policy.name!r}, and if-match: * wants one"
                ) from None
            if own is not None or not wanted.holds(conflict.actual):
                raise
            expected = conflict.actual


async def delete_under(policies: PolicyService, wanted: Condition, name: str, *, dry_run: bool) -> int:
    """Delete under a condition; answers the revision. ``dry_run`` answers the version that would have gone."""
    if dry_run:
        version = policies.get(name).version
        if not wanted.holds(version):
            raise PolicyConflict(name, min(wanted.versions or {0}), version)
        return version
    if wanted.versions is None:
        return await policies.delete(name)
    expected = _stored(policies, name)
    if not wanted.holds(expected):
        expected = min(wanted.versions)
    while True:
        try:
            return await policies.delete(name, expected=expected)
        except PolicyConflict as conflict:
            if not wanted.holds(conflict.actual):
                raise
            expected = conflict.actual


def _stored(policies: PolicyService, name: str) -> int:
    try:
        return policies.get(name).version
    except PolicyNotFound:
        return 0
