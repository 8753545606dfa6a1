"""Whole sidecars, for the nodes that are to have one: what is added to what everybody is served.

Laws:

1. What a node says of itself comes first, then its cluster's document (:func:`hfi_core.sidecars.model.complete`).
2. As long as it is not known what there is to be (nothing was read yet, a document cannot be read, resources are still
   being made), these types are not served: whoever has them keeps them. A document that was readable before counts on.
3. When it is known that there is nothing to be, that is served: listeners go, then clusters.
4. Resources are made in a thread, once for each distinct sidecar: the first time costs a second of imports.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from hfi_core.sidecars.model import Sidecar, Wish, complete
from hfi_xds.messages import Hello
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.sidecar_resources import TYPES, sidecar_resources
from hfi_xds.wakes import Wakes

log = logging.getLogger(__name__)

#: Distinct sidecars whose resources are kept; they are some 3 KB each, and what is forgotten is made again.
MAX_BUILT = 4_096
#: What everybody is served, of late: one value, or a few while the filter's module changes. Each holds a module.
MAX_BASES = 4

Build = Callable[[Sidecar], Sequence[Resource]]


@dataclass(slots=True)
class _Base:
    """What everybody is served, kept so that its id is nobody else's; and what it makes with each sidecar."""

    snapshot: ResourceSnapshot
    joined: dict[Sidecar | None, ResourceSnapshot] = field(default_factory=dict)


class SidecarSource:
    """What is known of sidecars. Belongs to one event loop."""

    def __init__(self, build: Build = sidecar_resources) -> None:
        self._build = build
        self._wishes: Mapping[str, Wish] | None = None
        self._unreadable: Set[str] = frozenset()
        self._built: OrderedDict[Sidecar, Sequence[Resource]] = OrderedDict()
        self._building: dict[Sidecar, asyncio.Task[None]] = {}
        self._whole: OrderedDict[int, _Base] = OrderedDict()
        self._followers = Wakes()

    def publish(self, wishes: Mapping[str, Wish], unreadable: Set[str] = frozenset()) -> None:
        """These are the documents now, by cluster; of ``unreadable`` clusters it is not known what they say."""
        before = self._wishes or {}
        wishes = {**{cluster: before[cluster] for cluster in unreadable if cluster in before}, **wishes}
        unreadable = unreadable - wishes.keys()
        if (wishes, unreadable) == (self._wishes, self._unreadable):
            return
        self._wishes, self._unreadable = wishes, unreadable
        self._followers.set()

    def add_to(self, snapshot: ResourceSnapshot, hello: Hello) -> ResourceSnapshot:
        """What this node is served, its sidecar included. The same value each time that nothing has changed."""
        cluster = hello.node.cluster
        if self._wishes is None or cluster in self._unreadable:
            return snapshot
        sidecar = complete(hello.wish, self._wishes.get(cluster))
        resources = self._resources(sidecar) if sidecar is not None else ()
        return snapshot if resources is None else self._joined(snapshot, sidecar, resources)

    def _resources(self, sidecar: Sidecar) -> Sequence[Resource] | None:
        found = self._built.get(sidecar)
        if found is not None:
            self._built.move_to_end(sidecar)
        elif sidecar not in self._building:
            task = self._building[sidecar] = asyncio.create_task(self._make(sidecar))
            task.add_done_callback(_complain)
        return found

    async def _make(self, sidecar: Sidecar) -> None:
        try:
            self._built[sidecar] = await asyncio.to_thread(self._build, sidecar)
        finally:
            del self._building[sidecar]
        if len(self._built) > MAX_BUILT:
            self._built.popitem(last=False)
        self._followers.set()

    def _joined(
        self, snapshot: ResourceSnapshot, sidecar: Sidecar | None, resources: Sequence[Resource]
    ) -> ResourceSnapshot:
        base = self._whole.get(id(snapshot))
        if base is None:
            base = self._whole[id(snapshot)] = _Base(snapshot)
            if len(self._whole) > MAX_BASES:
                self._whole.popitem(last=False)
        else:
            self._whole.move_to_end(id(snapshot))
        if sidecar not in base.joined and len(base.joined) > MAX_BUILT:
            base.joined.clear()
        if sidecar not in base.joined:
            base.joined[sidecar] = snapshot.joined(resources, types=TYPES)
        return base.joined[sidecar]

    def following(self, wake: asyncio.Event) -> AbstractContextManager[None]:
        """While the block runs, ``wake`` is set at each change."""
        return self._followers.holding(wake)

    async def close(self) -> None:
        """Wait for what is being made; a thread cannot be taken back."""
        await asyncio.gather(*self._building.values(), return_exceptions=True)


def _complain(task: asyncio.Task[None]) -> None:
    """A mistake of ours, which ends no stream: without these resources, nodes keep what they have."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the resources of a sidecar cannot be made", exc_info=error)
