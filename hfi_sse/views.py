"""Which readers a new snapshot concerns. Pure: no clock, no event loop, no IO.

Laws:

1. A parked reader is woken exactly when its own view changes, or when the store's life (epoch) does.
2. A publish costs work for each distinct view that a changed policy may touch, not for each reader. The one
   exception is a snapshot whose selectors name other label keys than before: readers are then grouped anew.
3. *Current* is only said on proof: of a version that this replica has published itself, and since which this
   very view has not changed. Another replica may have published a version that this one skipped, such as a
   fault that came and went while this one was cut off; a reader that holds it must be sent the rules, or it
   would keep the fault for ever. Without proof the snapshot is sent, once, which costs little.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from hfi_core.policy.model import Selector
from hfi_core.snapshot import Snapshot, View, changed_selectors

#: Views that nobody waits for are kept so that a reader between two polls is not sent what it has.
MAX_IDLE_VIEWS = 1024
#: How many published versions are remembered (law 3); a reader whose version is older is sent the rules anew.
MAX_KNOWN_VERSIONS = 4096


@dataclass(frozen=True, slots=True)
class Audience:
    """Whose view: a proxy's cluster and labels, or ``everything`` for a reader that is no proxy."""

    cluster: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """What a reader says it has: the version of its last event, and the epoch that it was of, where it knows."""

    version: int | None = None
    epoch: str | None = None


class Standing(Enum):
    """How a reader stands to the current snapshot."""

    BEHIND = "behind"
    """It is to be sent the snapshot now."""
    CURRENT = "current"
    """It has all that concerns it."""
    AHEAD = "ahead"
    """It has seen more than this replica, which lags or has read nothing yet: wait until it has caught up."""


#: The part of an audience that can matter under a snapshot: labels that no selector names are taken off.
ViewKey = Audience
R = TypeVar("R", bound=Hashable)


@dataclass(slots=True)
class _Tracked(Generic[R]):
    view: View
    changed_at: int
    readers: dict[R, Audience] = field(default_factory=dict)


class ViewTracker(Generic[R]):
    """The views in use under the newest snapshot, and who waits for a change of each. ``R`` is a parked reader."""

    def __init__(self, max_idle_views: int = MAX_IDLE_VIEWS, max_known_versions: int = MAX_KNOWN_VERSIONS) -> None:
        self._max_views = max_idle_views
        self._snapshot: Snapshot | None = None
        self._views: OrderedDict[ViewKey, _Tracked[R]] = OrderedDict()
        self._order: deque[int] = deque(maxlen=max_known_versions)
        self._known: set[int] = set()
        self._home: dict[R, ViewKey] = {}
        self._early: dict[R, tuple[Audience, Position]] = {}

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        return self._snapshot

    @property
    def parked(self) -> int:
        """How many readers wait."""
        return len(self._home) + len(self._early)

    @property
    def tracked(self) -> int:
        """How many distinct views are kept."""
        return len(self._views)

    # -- questions ------------------------------------------------------------------------------------------

    def standing(self, audience: Audience, position: Position) -> Standing:
        """Whether a reader with that position is to be sent the snapshot."""
        snapshot = self._snapshot
        if snapshot is None:
            return Standing.AHEAD
        if position.version is None or position.epoch not in (None, snapshot.epoch):
            return Standing.BEHIND
        if position.version > snapshot.version:
            # Without an epoch the number may be of another store's life, and waiting for it could take for ever.
            return Standing.AHEAD if position.epoch is not None else Standing.BEHIND
        changed_at = self._track(snapshot, audience).changed_at
        proven = position.version >= changed_at and position.version in self._known
        return Standing.CURRENT if proven else Standing.BEHIND

    def view(self, audience: Audience) -> tuple[Snapshot, View] | None:
        """The snapshot and what this audience sees of it; built once a view and snapshot. None before the first."""
        snapshot = self._snapshot
        return None if snapshot is None else (snapshot, self._track(snapshot, audience).view)

    def is_current(self, reader: R) -> bool:
        """Whether this reader is parked, and has all that concerns it up to the newest snapshot."""
        return reader in self._home

    # -- readers --------------------------------------------------------------------------------------------

    def park(self, reader: R, audience: Audience, position: Position) -> None:
        """Wait for a change. The reader's standing must not be :attr:`Standing.BEHIND`."""
        snapshot = self._snapshot
        if snapshot is None or self.standing(audience, position) is Standing.AHEAD:
            self._early[reader] = (audience, position)
        else:
            self._settle(snapshot, reader, audience)

    def leave(self, reader: R) -> None:
        """Wait no longer. A reader that was woken has left already; leaving twice is harmless."""
        self._early.pop(reader, None)
        key = self._home.pop(reader, None)
        if key is not None:
            del self._views[key].readers[reader]

    def everyone(self) -> list[R]:
        """All parked readers, who leave by this."""
        readers = [*self._home, *self._early]
        for tracked in self._views.values():
            tracked.readers.clear()
        self._home.clear()
        self._early.clear()
        return readers

    def advance(self, snapshot: Snapshot) -> list[R]:
        """Take a newer snapshot; answers the readers to wake, who have left by this."""
        before, self._snapshot = self._snapshot, snapshot
        woken: list[R] = []
        if before is None or before.epoch != snapshot.epoch or before.version > snapshot.version:
            woken = [reader for tracked in self._views.values() for reader in tracked.readers]
            self._views.clear()
            self._order.clear()
            self._known.clear()
        elif before.selector_keys != snapshot.selector_keys:
            woken = self._regroup(snapshot)
        else:
            woken = self._compare(snapshot, changed_selectors(before, snapshot))
        self._remember(snapshot.version)
        for reader in woken:
            self._home.pop(reader, None)
        return woken + self._catch_up(snapshot)

    # -------------------------------------------------------------------------------------------------------

    def _compare(self, snapshot: Snapshot, selectors: list[Selector]) -> list[R]:
        woken: list[R] = []
        for key, tracked in self._views.items():
            if not any(_concerns(selector, key) for selector in selectors):
                continue
            view = _build(snapshot, key)
            if view.digest != tracked.view.digest:
                tracked.view, tracked.changed_at = view, snapshot.version
                woken.extend(tracked.readers)
                tracked.readers.clear()
        return woken

    def _regroup(self, snapshot: Snapshot) -> list[R]:
        before, self._views = self._views, OrderedDict()
        woken: list[R] = []
        for tracked in before.values():
            for reader, audience in tracked.readers.items():
                if self._track(snapshot, audience).view.digest == tracked.view.digest:
                    self._settle(snapshot, reader, audience)
                else:
                    woken.append(reader)
        return woken

    def _catch_up(self, snapshot: Snapshot) -> list[R]:
        woken: list[R] = []
        for reader, (audience, position) in list(self._early.items()):
            standing = self.standing(audience, position)
            if standing is Standing.AHEAD:
                continue
            del self._early[reader]
            if standing is Standing.CURRENT:
                self._settle(snapshot, reader, audience)
            else:
                woken.append(reader)
        return woken

    def _settle(self, snapshot: Snapshot, reader: R, audience: Audience) -> None:
        self._track(snapshot, audience).readers[reader] = audience
        self._home[reader] = _key(snapshot, audience)

    def _track(self, snapshot: Snapshot, audience: Audience) -> _Tracked[R]:
        key = _key(snapshot, audience)
        tracked = self._views.get(key)
        if tracked is None:
            if len(self._views) >= self._max_views:
                self._forget_one()
            tracked = self._views[key] = _Tracked(_build(snapshot, key), snapshot.version)
        self._views.move_to_end(key)
        return tracked

    def _forget_one(self) -> None:
        idle = next((key for key, tracked in self._views.items() if not tracked.readers), None)
        if idle is not None:
            del self._views[idle]

    def _remember(self, version: int) -> None:
        if version in self._known:
            return
        if len(self._order) == self._order.maxlen:
            self._known.discard(self._order[0])
        self._order.append(version)
        self._known.add(version)


def _key(snapshot: Snapshot, audience: Audience) -> ViewKey:
    if audience.everything:
        return Audience(everything=True)
    relevant: Iterable[tuple[str, str]] = (pair for pair in audience.labels if pair[0] in snapshot.selector_keys)
    return Audience(audience.cluster, tuple(relevant))


def _concerns(selector: Selector, key: ViewKey) -> bool:
    return key.everything or selector.covers(key.cluster, dict(key.labels))


def _build(snapshot: Snapshot, key: ViewKey) -> View:
    return snapshot.whole_view() if key.everything else snapshot.view(key.cluster, dict(key.labels))
