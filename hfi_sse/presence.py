"""Tells the proxy registry who polls and how far each one is, without flapping and without work for each publish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hfi_core.proxies import ProxyRegistry
from hfi_core.snapshot import NodeIdentity
from hfi_sse.hub import Reader, StreamHub
from hfi_sse.views import Audience, Position, Standing


@dataclass(slots=True)
class _Presence:
    node: NodeIdentity
    polls: int = 0
    readers: set[Reader] = field(default_factory=set)
    goodbye: asyncio.TimerHandle | None = None


class Presence:
    """Who polls. A poll that ends is followed by the next one, so a node counts as polling for a grace after it."""

    def __init__(self, proxies: ProxyRegistry, hub: StreamHub, grace_seconds: float) -> None:
        self._proxies = proxies
        self._hub = hub
        self._grace = grace_seconds
        self._here: dict[str, _Presence] = {}

    @contextmanager
    def polling(self, node: NodeIdentity | None, position: Position) -> Iterator[_Parked]:
        """Around a ``once`` request. Nothing is told of a reader that is no particular proxy."""
        if node is None:
            yield _Parked(None)
            return
        here = self._arrive(node, position)
        parked = _Parked(here)
        try:
            yield parked
        finally:
            self._leave(here, parked)

    def confirm(self) -> None:
        """Bring the registry up to date on all that are parked with everything that concerns them.

        Called when somebody asks, so that a publish costs nothing for each proxy.
        """
        snapshot = self._hub.snapshot
        if snapshot is None:
            return
        for here in self._here.values():
            if any(self._hub.tracker.is_current(reader) for reader in here.readers):
                self._proxies.rules_reached(here.node, snapshot.version, snapshot.epoch)

    def close(self) -> None:
        """Forget all goodbyes that are under way."""
        for here in self._here.values():
            if here.goodbye is not None:
                here.goodbye.cancel()
        self._here.clear()

    def _arrive(self, node: NodeIdentity, position: Position) -> _Presence:
        here = self._here.setdefault(node.id, _Presence(node))
        here.node = node
        here.polls += 1
        if here.goodbye is not None:
            here.goodbye.cancel()
            here.goodbye = None
        self._proxies.polling(node, True)
        self._take_proof(node, position)
        return here

    def _take_proof(self, node: NodeIdentity, position: Position) -> None:
        """What a reader says that it has, it has: that is how an event that was sent is known to have arrived."""
        snapshot = self._hub.snapshot
        if position.version is None or snapshot is None:
            return
        if self._hub.standing(Audience(node.cluster, node.labels), position) is Standing.CURRENT:
            self._proxies.rules_reached(node, snapshot.version, snapshot.epoch)
        else:
            self._proxies.rules_reached(node, position.version, position.epoch or snapshot.epoch)

    def _leave(self, here: _Presence, parked: _Parked) -> None:
        snapshot = self._hub.snapshot
        if parked.confirmed and snapshot is not None:
            self._proxies.rules_reached(here.node, snapshot.version, snapshot.epoch)
        here.readers -= parked.readers
        here.polls -= 1
        if here.polls == 0 and self._here.get(here.node.id) is here:
            here.goodbye = asyncio.get_running_loop().call_later(self._grace, self._gone, here)

    def _gone(self, here: _Presence) -> None:
        del self._here[here.node.id]
        self._proxies.polling(here.node, False)


class _Parked:
    """One poll of a proxy, for as long as it lasts."""

    def __init__(self, here: _Presence | None) -> None:
        self._here = here
        self.readers: set[Reader] = set()
        #: Set when the answer says that the reader has all that concerns it.
        self.confirmed = False

    def joins(self, reader: Reader) -> None:
        """This poll waits as that reader."""
        if self._here is not None:
            self.readers.add(reader)
            self._here.readers.add(reader)
