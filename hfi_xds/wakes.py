"""Whom to wake when something changes. Each waits in a way of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Must not wait, and does its work later: an event's ``set``, or a turn's ``news``.
Wake = Callable[[], None]


class Wakes:
    """A set of them. Belongs to one event loop."""

    def __init__(self) -> None:
        self._wakes: set[Wake] = set()

    def __len__(self) -> int:
        return len(self._wakes)

    def set(self) -> None:
        """Wake all of them."""
        for wake in self._wakes:
            wake()

    @contextmanager
    def holding(self, wake: Wake) -> Iterator[None]:
        """``wake`` is one of them while the block runs."""
        self._wakes.add(wake)
        try:
            yield
        finally:
            self._wakes.discard(wake)
