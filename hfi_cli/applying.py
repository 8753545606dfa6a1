"""Applying several documents as nearly all-or-nothing as an API of single policies allows.

First every document is tried with a dry run, so that one bad document, wherever it stands, means that none is
written. Only a conflict in the moment between that and the write can still stop half-way; what was written by then is
told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hfi_cli.answers import Applied
from hfi_cli.client import HfiClient
from hfi_cli.documents import Located
from hfi_cli.errors import ClientError, Refused
from hfi_cli.rollout import selector

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """One policy that was written; ``selectors`` are its own and the one it replaces: the proxies it concerns."""

    applied: Applied
    selectors: tuple[Mapping[str, Any], ...]

    @property
    def version(self) -> int:
        """From which version on it counts."""
        return int(self.applied["policy"]["metadata"]["version"])


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that the server refused."""

    located: Located
    error: Refused

    @property
    def message(self) -> str:
        """Which document, and what is the matter with it as a whole."""
        text = self.error.title if self.error.problems else str(self.error)
        return f"{self.located}: {text}"

    @property
    def details(self) -> list[str]:
        """A line for each problem: where it is in the file, its pointer, and what to do."""
        return [
            f"{self.located.place(problem.pointer)}: {problem.pointer or '(document)'} {problem.detail}"
            for problem in self.error.problems
        ]


def try_all(apply: Callable[[Any], T], documents: Sequence[Located]) -> tuple[list[T], list[Failure]]:
    """What ``apply``, as a rule a dry run, makes of each document; of the bad ones all, and not only the first."""
    good, bad = [], []
    for located in documents:
        try:
            good.append(apply(located.document))
        except Refused as error:
            bad.append(Failure(located, error))
    return good, bad


def write_all(
    client: HfiClient, documents: Sequence[Located], told: Callable[[Written], None]
) -> Failure | ClientError | None:
    """Write them in order, telling of each; the first that does not go through ends it, and is the answer."""
    for located in documents:
        try:
            before = _stored(client, located.name)
            applied = client.apply(located.document)
        except Refused as error:
            return Failure(located, error)
        except ClientError as error:
            return error
        told(Written(applied, (selector(applied["policy"]), *before)))
    return None


def _stored(client: HfiClient, name: str | None) -> tuple[Mapping[str, Any], ...]:
    try:
        return (selector(client.get(name)),) if name else ()
    except Refused as error:
        if error.kind == "policy-not-found":
            return ()
        raise
