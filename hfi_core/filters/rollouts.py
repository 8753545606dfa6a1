"""What can be done with the rollout: start, advance, pause, roll back. Used by REST and by the guard.

Each is a compare-and-swap on the one document: of two who do something at once, the second does it to what the first
has made of it, or is told why that cannot be. What is served changes when the store's watch says so.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
from collections import Counter
from collections.abc import Callable

from pydantic import ValidationError

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, ModuleNotFound, RolloutConflict, StoreError
from hfi_core.filters import rollout
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.rollout import Cause, Limits, Rollout, RolloutDocument
from hfi_core.filters.state import MANIFESTS, ROLLOUT, FilterState
from hfi_core.following import Follower
from hfi_core.policy.model import Selector
from hfi_core.policy.validation import shape_problems
from hfi_core.store.protocol import NOTHING, Provided, Store

log = logging.getLogger(__name__)


class RolloutService:
    """The document in the store, seen through a follower of it. ``clock`` answers Unix milliseconds.

    Every method raises :class:`RolloutConflict` and :class:`~hfi_core.errors.StoreError`.
    """

    def __init__(self, store: Store, filters: Follower[FilterState], clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._filters = filters
        self._clock = clock
        #: What was rolled back here, by cause.
        self.rolled_back: Counter[Cause] = Counter()

    def state(self) -> FilterState:
        """What this replica sees. Raises :class:`~hfi_core.errors.StoreUnavailable` before the first reading."""
        return self._filters.required()

    async def begin(self, module: Manifest) -> None:
        """Make the module the stable one, in a store where there is none yet.

        Raises :class:`~hfi_core.errors.ModuleNotFound`, too.
        """
        while (await self._store.get(ROLLOUT)) is None:
            found, provided = await self._module(module.version)
            # Else another replica was quicker, or somebody has deleted it just now.
            with contextlib.suppress(EntryConflict):
                first = rollout.first(found, self._clock())
                await self._store.put(ROLLOUT, first.encode(), expected=0, provided=provided)
                log.info("filter module %s is the stable one", module.version)

    async def start(
        self, version: str, *, share: float = 0.0, selector: Selector | None = None, limits: Limits | None = None
    ) -> RolloutDocument:
        """Start a rollout of that version. Raises :class:`~hfi_core.errors.ModuleNotFound`, too."""
        identity = secrets.token_hex(6)
        while True:
            module, provided = await self._module(version)
            change = functools.partial(
                rollout.start,
                module=module,
                rollout_id=identity,
                at_ms=self._clock(),
                share=share,
                selector=selector,
                limits=limits,
            )
            # Else somebody has deleted it just now.
            with contextlib.suppress(EntryConflict):
                return await self._change(change, provided)

    async def advance(
        self, share: float | None = None, *, resume: bool = False, unwatched: bool = False
    ) -> RolloutDocument:
        """Go on; see :func:`hfi_core.filters.rollout.advance`."""
        return await self._change(
            lambda document: rollout.advance(document, self._clock(), share, resume=resume, unwatched=unwatched)
        )

    async def pause(self) -> RolloutDocument:
        """Let nobody advance it."""
        return await self._change(lambda document: rollout.pause(document, self._clock()))

    async def roll_back(self, cause: Cause, reason: str, *, only: Rollout | None = None) -> RolloutDocument:
        """Back to the stable module. ``only``: that very rollout, if it is still under way."""

        def change(document: RolloutDocument) -> RolloutDocument:
            if only is not None and (document.active is None or document.active.id != only.id):
                raise RolloutConflict("that rollout is over")
            return rollout.roll_back(document, self._clock(), cause, reason)

        return await self._change(change)

    async def _module(self, version: str) -> tuple[Manifest, Provided]:
        """A module, and the condition that it is still there when what is made of it is written."""
        key = MANIFESTS + version
        entry = await self._store.get(key)
        found = FilterState.of([entry] if entry is not None else [], 0).modules.get(version)
        if entry is None or found is None:
            raise ModuleNotFound(version)
        return found, {key: entry.version}

    async def _change(
        self, change: Callable[[RolloutDocument], RolloutDocument], provided: Provided = NOTHING
    ) -> RolloutDocument:
        while True:
            entry = await self._store.get(ROLLOUT)
            if entry is None:
                raise RolloutConflict("there is no stable module yet: the first replica has not started up")
            try:
                document = RolloutDocument.model_validate_json(entry.value)
            except ValidationError as error:
                problems = "; ".join(map(str, shape_problems(error)))
                raise StoreError(f"the rollout document in the store cannot be read: {problems}") from error
            changed = change(document)
            try:
                written = await self._store.put(ROLLOUT, changed.encode(), expected=entry.version, provided=provided)
            except EntryConflict as conflict:
                if conflict.key != ROLLOUT:
                    raise
                continue  # Somebody changed it between the read and the write: what is wanted may not hold any more.
            event = changed.events[-1]
            log.info("rollout of the filter module: %s: %s", event.kind, event.detail)
            if event.cause is not None:
                self.rolled_back[event.cause] += 1
            await self._filters.seen(written.version)
            return changed
