"""HFI's error tree, and what each error means to a caller.

Two kinds of blame: a :class:`RequestError` is the caller's to mend, everything else is ours or a
dependency's. Client libraries' exceptions never leave the module that calls them; they are chained to one of
these. ``hfi_sse.problems`` maps each class to an HTTP status, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class HfiError(Exception):
    """The root of every error that HFI raises on purpose."""


class RequestError(HfiError):
    """The caller asked for something that cannot be done as asked."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document.

    ``pointer`` is an RFC 6901 JSON pointer (``""`` is the whole document); ``detail`` says what is wrong and
    what to do.
    """

    pointer: str
    detail: str

    def __str__(self) -> str:
        return f"{self.pointer or '(document)'}: {self.detail}"


class PolicyInvalid(RequestError):
    """A policy document breaks the rules; carries every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class DocumentUnreadable(RequestError):
    """Text that is neither JSON nor YAML. ``line`` and ``column`` count from 1, where they are known."""

    def __init__(self, detail: str, line: int | None = None, column: int | None = None) -> None:
        self.detail = detail
        self.line = line
        self.column = column
        where = f" at line {line}, column {column}" if line is not None else ""
        super().__init__(f"{detail}{where}")


class PolicyNotFound(RequestError):
    """No policy of that name is stored."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no policy named {name!r}")


class VersionConflict(RequestError):
    """The stored version of a document is not the one the caller expected (``0`` stands for: does not exist).

    Each kind of document has a class of its own, whose ``what`` names one in the message.
    """

    what: ClassVar[str] = "{name!r}"

    def __init__(self, name: str, expected: int, actual: int) -> None:
        self.name = name
        self.expected = expected
        self.actual = actual
        what = self.what.format(name=name)
        if expected == 0:
            text = f"{what} exists already, at version {actual}"
        elif actual == 0:
            text = f"{what} no longer exists; version {expected} was expected"
        else:
            text = (
                f"{what} is at version {actual}, not {expected}: somebody changed it meanwhile; "
                "read it again and repeat the change"
            )
        super().__init__(text)


class PolicyConflict(VersionConflict):
    """A policy is not at the version that was expected."""

    what = "policy {name!r}"


class SidecarInvalid(RequestError):
    """A sidecar document breaks the rules; carries every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class SidecarNotFound(RequestError):
    """No sidecar document is stored for that cluster."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no sidecar document for the cluster {name!r}")


class SidecarConflict(VersionConflict):
    """A sidecar document is not at the version that was expected."""

    what = "the sidecar document of {name!r}"


class ModuleRefused(RequestError):
    """A filter module that no Envoy could run, or that HFI does not take; carries every reason at once."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class ModuleNotFound(RequestError):
    """The catalogue has no filter module of that version."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(
            f"the catalogue has no filter module of version {version!r}; hfi-cli filter list shows those that it has"
        )


class ModuleConflict(RequestError):
    """The catalogue holds another module under that version, or that module under another version."""


class ModuleInUse(RequestError):
    """Nodes run that filter module, or are to."""


class RolloutConflict(RequestError):
    """The rollout of the filter module is not where that could be done."""


class NodeDenied(RequestError):
    """A client's certificate does not speak for the node that it says it is. ``names`` are those in it, in words."""

    def __init__(self, node_id: str, names: str) -> None:
        self.node_id = node_id
        self.names = names
        super().__init__(
            f"node {node_id!r} is not in the client's certificate, which has {names}; issue one with the node's id "
            "in it, or start the control plane with a --node-pattern"
        )


class EntryError(HfiError):
    """A key of the store is not as a write wants it.

    It knows keys and revisions and not what they stand for, so it is for who called the store: to try again with what
    is there now, or to say it in the words of its own kind (``hfi_core.kinds``). It is never told to a client.
    """

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


class EntryMissing(EntryError):
    """The key does not exist."""

    def __init__(self, key: str) -> None:
        super().__init__(key, f"the store has no key {key!r}")


class EntryConflict(EntryError):
    """The key's version is ``present``, and ``wanted`` was expected (``0`` stands for: does not exist)."""

    def __init__(self, key: str, wanted: int, present: int) -> None:
        self.wanted = wanted
        self.present = present
        super().__init__(key, f"the key {key!r} is at version {present}, not {wanted}")


class StoreError(HfiError):
    """The store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or did not answer in time. Trying again later may help."""


class StoreDenied(StoreError):
    """The store refused the credentials, or the user lacks the permission."""


class WatchCompacted(StoreError):
    """The revision asked for is gone: list again and watch from the listing's revision."""

    def __init__(self, compact_revision: int) -> None:
        self.compact_revision = compact_revision
        super().__init__(f"revisions up to {compact_revision} are compacted; list again")


class TenancyLost(StoreError):
    """What was written under a tenancy is gone, because it was not renewed in time: write it again."""


class ModuleUnavailable(HfiError):
    """A WebAssembly module that HFI ships is missing or is not what its manifest says."""


class SettingsInvalid(HfiError):
    """A setting does not make sense; the message names it and says what would."""
