"""The catalogue of filter modules in the store.

Laws:

1. A module is immutable: for as long as it is there, its version names the same bytes.
2. What has a manifest is there whole: the code is written first, in pieces that fit a request of etcd's (1.5 MiB), and
   the manifest last; what is deleted loses its manifest first. What broke off has left pieces that nobody sees.
3. Code is believed by its digest alone, each time it is read.

Several replicas may push the same module at once: the pieces are the same, and one manifest wins. What is deleted
meanwhile is ``removal``'s business.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Set
from dataclasses import dataclass

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, ModuleConflict, ModuleRefused, ModuleUnavailable
from hfi_core.filters.manifest import MAX_MODULE_BYTES, Manifest, note_problem, version_problem
from hfi_core.filters.removal import remove
from hfi_core.filters.state import MANIFESTS, REMOVALS, FilterState
from hfi_core.modules.inspection import Inspection, inspect_module
from hfi_core.store.protocol import Store

log = logging.getLogger(__name__)

#: A write also answers what was there before, and the request has its own words: well below 1.5 MiB.
PIECE_BYTES = 512 << 10


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a push. ``created``: the catalogue did not have it before."""

    manifest: Manifest
    created: bool


class ModuleCatalogue:
    """Modules in two stores: ``manifests``, which is small and watched, and ``pieces``, which is read by key.

    ``inspect`` looks into a module, in a thread. ``clock`` answers Unix milliseconds.
    """

    def __init__(
        self,
        manifests: Store,
        pieces: Store,
        inspect: Callable[[bytes], Inspection] = inspect_module,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._manifests = manifests
        self._pieces = pieces
        self._inspect = inspect
        self._clock = clock
        # One at a time: each takes a compiler's memory and a core.
        self._looking = asyncio.Lock()

    async def push(self, version: str, code: bytes, note: str = "", *, known_as: Inspection | None = None) -> Pushed:
        """Take a module in; the same bytes under the same version again are fine.

        ``known_as``: what was found when it was looked into before, so that it need not be again.
        Raises :class:`ModuleRefused`, :class:`ModuleConflict`, :class:`~hfi_core.errors.ModuleUnavailable` and
        :class:`~hfi_core.errors.StoreError`.
        """
        problems = [problem for problem in (version_problem(version), note_problem(note)) if problem]
        if len(code) > MAX_MODULE_BYTES:
            problems.append(f"it is {len(code):,} bytes long; {MAX_MODULE_BYTES:,} are taken")
        if problems:
            raise ModuleRefused(problems)
        digest = hashlib.sha256(code).hexdigest()
        while True:
            listing = await self._manifests.list()
            known = _known(FilterState.listed(listing), version, digest)
            if known is not None:
                return Pushed(known, created=False)
            if known_as is None:
                known_as = await self._look_into(code)
            manifest = Manifest(
                version=version,
                digest=digest,
                size=len(code),
                piece_bytes=PIECE_BYTES,
                abi=known_as.abi,
                note=note,
                pushed_at_ms=self._clock(),
            )
            for number, key in enumerate(manifest.pieces):
                await self._pieces.put(key, code[number * PIECE_BYTES : (number + 1) * PIECE_BYTES])
            unchanged = {REMOVALS: listing.version_of(REMOVALS)}
            # Else somebody was quicker, with the same or with another; or deletes what may have these very pieces.
            with contextlib.suppress(EntryConflict):
                await self._manifests.put(MANIFESTS + version, manifest.encode(), expected=0, provided=unchanged)
                log.info("filter module %s (%s, %d bytes) is in the catalogue", version, digest[:12], len(code))
                return Pushed(manifest, created=True)

    async def delete(self, version: str, *, digests: Set[str] | None = None) -> tuple[Manifest, int]:
        """Take a module out; see :func:`hfi_core.filters.removal.remove`."""
        return await remove(self._manifests, self._pieces, version, digests)

    async def code(self, manifest: Manifest) -> bytes:
        """The bytes of a module. Raises :class:`ModuleUnavailable` when they are not what the manifest says."""
        parts: list[bytes] = []
        for key in manifest.pieces:
            entry = await self._pieces.get(key)
            if entry is None:
                raise ModuleUnavailable(f"filter module {manifest.version}: the store has lost its piece {key}")
            parts.append(entry.value)
        code = b"".join(parts)
        digest = hashlib.sha256(code).hexdigest()
        if digest != manifest.digest:
            raise ModuleUnavailable(
                f"filter module {manifest.version}: what the store holds has digest {digest}, and not {manifest.digest}"
            )
        return code

    async def _look_into(self, code: bytes) -> Inspection:
        async with self._looking:
            return await asyncio.to_thread(self._inspect, code)


def _known(state: FilterState, version: str, digest: str) -> Manifest | None:
    """The manifest when the catalogue has just this; raises :class:`ModuleConflict` for half of it."""
    if (broken := state.broken.get(MANIFESTS + version)) is not None:
        raise ModuleConflict(f"what the store has as version {version} cannot be read, so it is not replaced: {broken}")
    there = state.modules.get(version)
    if there is not None and there.digest != digest:
        raise ModuleConflict(
            f"version {version} is another module already ({there.digest[:12]}, and this is {digest[:12]}): "
            "modules do not change, so give this one a version of its own"
        )
    if there is None and (other := state.by_digest(digest)) is not None:
        raise ModuleConflict(f"this very module is in the catalogue already, as version {other.version}")
    return there
