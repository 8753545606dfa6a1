"""Whole sidecars, for the nodes that are to have one: what is added to what everybody is served.

Laws:

1. What a node says of itself comes first, then its cluster's document (:func:`hfi_core.sidecars.model.complete`).
2. As long as it is not known what there is to be (nothing was read yet, a document cannot be read, resources are still
   being made), these types are not served: whoever has them keeps them. A document that was readable before counts on.
3. When it is known that there is nothing to be, that is served: listeners go, then clusters.
4. Resources are made in a thread, once for each distinct sidecar: the first time costs a second of imports. For each
   wish one is made at a time, so what changed meanwhile is skipped; until then, what was made for it last is served.
5. Where nobody says one of the two things that a sidecar needs, there is nothing to be. Of each node that asks for its
   listener this is logged once, with what to do.
6. A change is served at once, and those that follow it closely together, newest only. While they come without a pause,
   the window grows: else pushing would take the time in which the store's news are read, and what is pushed grow old.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from hfi_core.sidecars.model import Sidecar, Wish, complete, missing
from hfi_xds.messages import Hello
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.sidecar_resources import TYPES, sidecar_resources
from hfi_xds.source import DEBOUNCE_SECONDS
from hfi_xds.wakes import Wake, Wakes

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger(__name__)

#: Distinct sidecars whose resources are kept; they are some 3 KB each, and what is forgotten is made again.
MAX_BUILT = 4_096
#: Nodes remembered of which it was logged that they miss something; twice the streams that there may be.
MAX_MISSED = 20_000
#: The longest window, while changes come without a pause.
MAX_DEBOUNCE_SECONDS = 0.5
#: What everybody is served, of late: one value, or a few while the filter's module changes. Each holds a module.
MAX_BASES = 4

#: How the fields that are missing are named where they can be said: words between them, and before each.
_WAYS = ((" and ", ""), (" and ", "hfi."), (" ", "--"), (" and ", "spec."))

Build = Callable[[Sidecar], Sequence[Resource]]
#: Whose sidecar: a cluster's, as far as the node says nothing of its own.
_Whose = tuple[str, Wish]


@dataclass(slots=True)
class _Base:
    """What everybody is served, kept so that its id is nobody else's; and what it makes with each sidecar."""

    snapshot: ResourceSnapshot
    joined: dict[Sidecar | None, ResourceSnapshot] = field(default_factory=dict)


class SidecarSource:
    """What is known of sidecars. Belongs to one event loop."""

    def __init__(self, build: Build = sidecar_resources, *, debounce_seconds: float = DEBOUNCE_SECONDS) -> None:
        self._build = build
        self._debounce_seconds = self._window = debounce_seconds
        self._wishes: Mapping[str, Wish] | None = None
        self._unreadable: Set[str] = frozenset()
        self._pending: tuple[Mapping[str, Wish], Set[str]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told = self._changes = 0
        self._count: Callable[[int], object] | None = None
        self._built: OrderedDict[Sidecar, Sequence[Resource]] = OrderedDict()
        self._last: OrderedDict[_Whose, Sidecar] = OrderedDict()
        self._building: dict[_Whose, asyncio.Task[None]] = {}
        self._whole: OrderedDict[int, _Base] = OrderedDict()
        #: What was answered since something changed last; a sidecar of many addresses is slow to look up.
        self._answers: dict[tuple[int, _Whose], ResourceSnapshot] = {}
        #: By node id: what was logged as missing there.
        self._missed: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._followers = Wakes()

    def count_coalesced(self, count: Callable[[int], object]) -> None:
        """Tell ``count`` of changes that went out together with a later one, and never on their own."""
        self._count = count

    def publish(self, wishes: Mapping[str, Wish], unreadable: Set[str] = frozenset(), *, changes: int = 0) -> None:
        """These are the documents now, by cluster; of ``unreadable`` clusters it is not known what they say.

        ``changes``: how many there were in the store, all in all.
        """
        self._pending, self._told = (wishes, unreadable), changes
        if self._timer is None:
            self._serve()

    def _serve(self) -> None:
        """Serve what is newest; what comes within the window that this opens waits for its end."""
        again, self._timer = self._timer is not None, None
        if self._pending is None:
            return
        self._window = min(2 * self._window, MAX_DEBOUNCE_SECONDS) if again else self._debounce_seconds
        (wishes, unreadable), self._pending = self._pending, None
        if self._count is not None and self._told > self._changes + 1:
            self._count(self._told - self._changes - 1)
        self._changes = self._told
        before = self._wishes or {}
        wishes = {**{cluster: before[cluster] for cluster in unreadable if cluster in before}, **wishes}
        unreadable = unreadable - wishes.keys()
        if (wishes, unreadable) == (self._wishes, self._unreadable):
            return
        self._wishes, self._unreadable = wishes, unreadable
        self._answers.clear()
        if self._debounce_seconds:
            self._timer = asyncio.get_running_loop().call_later(self._window, self._serve)
        changed = {name for name in before.keys() | wishes.keys() if before.get(name) != wishes.get(name)}
        if unreadable or not self._begun(changed):
            self._followers.set()

    def _begun(self, changed: Set[str]) -> bool:
        """Whether nothing is due for these clusters before it is made, which is begun: then all will be woken."""
        waiting = set()
        for cluster, own in list(self._last):
            if cluster in changed:
                sidecar = complete(own, (self._wishes or {}).get(cluster))
                if sidecar is None or self._ready(sidecar, (cluster, own)) == sidecar:
                    return False
                waiting.add(cluster)
        return waiting == changed

    def add_to(self, snapshot: ResourceSnapshot, hello: Hello) -> ResourceSnapshot:
        """What this node is served, its sidecar included. The same value each time that nothing has changed."""
        cluster = hello.node.cluster
        if self._wishes is None or cluster in self._unreadable:
            return snapshot
        key = (id(snapshot), (cluster, hello.wish))
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answer(snapshot, complete(hello.wish, self._wishes.get(cluster)), key[1])
            if id(snapshot) in self._whole and len(self._answers) < MAX_BUILT:
                self._answers[key] = answer
        return answer

    def say_what_is_missing(self, hello: Hello) -> None:
        """Log, unless it was before, why this node, which asks for its listener, is served none."""
        node = hello.node
        if self._wishes is None or node.cluster in self._unreadable:
            return
        fields = missing(hello.wish, self._wishes.get(node.cluster))
        if not fields:
            self._missed.pop(node.id, None)
        elif self._missed.get(node.id) != fields:
            _keep(self._missed, node.id, fields, MAX_MISSED)
            log.warning(
                "node %r gets no listener: neither its metadata nor the sidecar document of its cluster %r says %s. "
                "Start it with %s in its node's metadata (hfi-cli bootstrap --minimal %s), or apply a document "
                "with %s (hfi-cli sidecar apply)",
                node.id,
                node.cluster,
                *(word.join(start + field for field in fields) for word, start in _WAYS),
            )

    def _answer(self, snapshot: ResourceSnapshot, sidecar: Sidecar | None, whose: _Whose) -> ResourceSnapshot:
        if sidecar is None:
            self._last.pop(whose, None)
            return self._joined(snapshot, None, ())
        ready = self._ready(sidecar, whose)
        return snapshot if ready is None else self._joined(snapshot, ready, self._built[ready])

    def _ready(self, sidecar: Sidecar, whose: _Whose) -> Sidecar | None:
        """That one if it has been made, or else the last that was; None when nothing was."""
        if sidecar in self._built:
            self._built.move_to_end(sidecar)
            _keep(self._last, whose, sidecar)
            return sidecar
        if whose not in self._building:
            task = self._building[whose] = asyncio.create_task(self._make(sidecar, whose))
            task.add_done_callback(_complain)
        last = self._last.get(whose)
        return last if last in self._built else None

    async def _make(self, sidecar: Sidecar, whose: _Whose) -> None:
        try:
            made = await asyncio.to_thread(self._build, sidecar)
        finally:
            del self._building[whose]
            self._answers.clear()
        _keep(self._built, sidecar, made)
        _keep(self._last, whose, sidecar)
        self._followers.set()

    def _joined(
        self, snapshot: ResourceSnapshot, sidecar: Sidecar | None, resources: Sequence[Resource]
    ) -> ResourceSnapshot:
        base = self._whole.get(id(snapshot))
        if base is None:
            base = self._whole[id(snapshot)] = _Base(snapshot)
            if len(self._whole) > MAX_BASES:
                self._whole.popitem(last=False)
                self._answers.clear()  # Its id may become another one's.
        else:
            self._whole.move_to_end(id(snapshot))
        if sidecar not in base.joined and len(base.joined) > MAX_BUILT:
            base.joined.clear()
        if sidecar not in base.joined:
            base.joined[sidecar] = snapshot.joined(resources, types=TYPES)
        return base.joined[sidecar]

    def following(self, wake: Wake) -> AbstractContextManager[None]:
        """While the block runs, ``wake`` is called at each change."""
        return self._followers.holding(wake)

    async def close(self) -> None:
        """Wait for what is being made; a thread cannot be taken back."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._building.values(), return_exceptions=True)


def _keep(kept: OrderedDict[K, V], key: K, value: V, most: int = MAX_BUILT) -> None:
    """As the newest of at most so many."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


def _complain(task: asyncio.Task[None]) -> None:
    """A mistake of ours, which ends no stream: without these resources, nodes keep what they have."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the resources of a sidecar cannot be made", exc_info=error)
