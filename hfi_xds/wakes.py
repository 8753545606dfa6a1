"""Who is to be woken when something changes: the streams of a server, each by an event of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Wakes:
    """A set of events. Belongs to one event loop."""

    def __init__(self) -> None:
        self._wakes: set[asyncio.Event] = set()

    def __len__(self) -> int:
        return len(self._wakes)

    def set(self) -> None:
        """Wake all of them."""
        for wake in self._wakes:
            wake.set()

    @contextmanager
    def holding(self, wake: asyncio.Event) -> Iterator[None]:
        """``wake`` is one of them while the block runs."""
        self._wakes.add(wake)
        try:
            yield
        finally:
            self._wakes.discard(wake)
