"""Taking a module out of the catalogue.

Laws:

1. What nodes run, or are to run, stays: a manifest is deleted only while the rollout document is the one that was
   looked at, and ``rollouts`` writes a module into that only while its manifest is there.
2. The manifest goes first, then the pieces: what is deleted by half is offered to nobody.
3. Pieces are by digest, and who pushes the same bytes meanwhile keeps them. Who deletes notes the versions of the
   pieces, then writes :data:`~hfi_core.filters.state.REMOVALS`, and takes away no piece that was written since. Who
   pushes writes every piece anew, and the manifest only if nobody has come to delete anything since before the first.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Set

from hfi_core.errors import EntryError, ModuleConflict, ModuleInUse, ModuleNotFound, StoreError
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.rollout import percent
from hfi_core.filters.state import MANIFESTS, REMOVALS, ROLLOUT, FilterState
from hfi_core.store.protocol import Store

log = logging.getLogger(__name__)


async def remove(manifests: Store, pieces: Store, version: str, digests: Set[str] | None) -> tuple[Manifest, int]:
    """Delete a module; answers what it was, and the revision from which on it is gone.

    ``digests``: it must have one of these; None: any. Raises :class:`~hfi_core.errors.ModuleNotFound`,
    :class:`~hfi_core.errors.ModuleInUse`, :class:`~hfi_core.errors.ModuleConflict` and
    :class:`~hfi_core.errors.StoreError`.
    """
    key = MANIFESTS + version
    while True:
        listing = await manifests.list()
        state = FilterState.listed(listing)
        manifest = state.modules.get(version)
        if manifest is None:
            raise ModuleNotFound(version)
        if digests is not None and manifest.digest not in digests:
            raise ModuleConflict(
                f"filter module {version} has the digest {manifest.digest}, and not the one that is meant"
            )
        _refuse_in_use(state, manifest)
        found = await _versions(pieces, manifest)
        await manifests.put(REMOVALS, version.encode())
        unchanged = {ROLLOUT: state.document_version}
        # Else it is another one by now, or somebody has changed what nodes run.
        with contextlib.suppress(EntryError):
            revision = await manifests.delete(key, expected=listing.version_of(key), provided=unchanged)
            break
    log.info("filter module %s (%s) is deleted", version, manifest.digest[:12])
    try:
        if FilterState.listed(await manifests.list()).by_digest(manifest.digest) is None:
            await _discard(pieces, found)
    except StoreError as error:
        log.warning("filter module %s is deleted, but bytes of it are left in the store: %s", version, error)
    return manifest, revision


def _refuse_in_use(state: FilterState, manifest: Manifest) -> None:
    if (broken := state.broken.get(ROLLOUT)) is not None:
        raise StoreError(f"which modules proxies run cannot be read, so none is deleted: {broken}")
    role = state.role(manifest)
    if role == "stable":
        raise ModuleInUse(
            f"filter module {manifest.version} is the stable one, which proxies run; "
            "once a rollout of another one is completed, it can be deleted"
        )
    active = state.document.active if state.document is not None else None
    if role == "candidate" and active is not None:
        raise ModuleInUse(
            f"filter module {manifest.version} is the candidate of the rollout that is {active.state} "
            f"at {percent(active.share)}; once that is rolled back, it can be deleted"
        )


async def _versions(pieces: Store, manifest: Manifest) -> Mapping[str, int]:
    """The pieces that are there, and the version of each."""
    found = [await pieces.get(key) for key in manifest.pieces]
    return {entry.key: entry.version for entry in found if entry is not None}


async def _discard(pieces: Store, found: Mapping[str, int]) -> None:
    """Delete those that nobody has written since."""
    for key, version in found.items():
        with contextlib.suppress(EntryError):
            await pieces.delete(key, expected=version)
