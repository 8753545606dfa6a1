"""What a key of a room stands for, so that its errors speak of that: the one place where the store's become ours.

The store says that a key is missing, or at another version (:class:`~hfi_core.errors.EntryError`). Who asked for a
policy is told of a policy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hfi_core.errors import (
    EntryConflict,
    EntryMissing,
    PolicyConflict,
    PolicyNotFound,
    RequestError,
    SidecarConflict,
    SidecarNotFound,
    VersionConflict,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of document says that there is none of a name, and that one has another version."""

    missing: Callable[[str], RequestError]
    conflict: Callable[[str, int, int], VersionConflict]

    def expect(self, name: str, wanted: int | None, present: int) -> None:
        """Raise this kind's conflict unless the version is the one that is wanted; None wants nothing."""
        if wanted is not None and wanted != present:
            raise self.conflict(name, wanted, present)

    @contextlib.contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Around one write of the document of that name: what the store says of its key, in words of this kind."""
        try:
            yield
        except EntryMissing as error:
            raise self.missing(name) from error
        except EntryConflict as error:
            raise self.conflict(name, error.wanted, error.present) from error


POLICY = Kind(PolicyNotFound, PolicyConflict)
SIDECAR = Kind(SidecarNotFound, SidecarConflict)
