"""What is served at this moment, and whom to wake when that changes.

One value, newest only. A publisher never waits for a stream, and a stream that was busy finds the newest.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager

from hfi_core.snapshot import NodeIdentity
from hfi_xds.resources import ResourceSnapshot, Served
from hfi_xds.wakes import Wake, Wakes

#: Changes that come so close together go out as one; short beside a push to Envoy and long beside a burst of writes.
DEBOUNCE_SECONDS = 0.015


class ResourceSource:
    """Holds the current snapshot. Belongs to one event loop; without a snapshot the server is not ready."""

    def __init__(self, initial: Served | None = None, *, debounce_seconds: float = DEBOUNCE_SECONDS) -> None:
        self._current = initial
        self._debounce_seconds = debounce_seconds
        self._pending: Served | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._followers = Wakes()

    @property
    def current(self) -> Served | None:
        """What is served; None before the first."""
        return self._current

    def for_node(self, node: NodeIdentity) -> ResourceSnapshot | None:
        """What this node is served."""
        return None if self._current is None else self._current.for_node(node)

    def publish(self, snapshot: Served, *, urgent: bool = False) -> None:
        """Serve this from now on: after the debounce, or at once when it is urgent or the first.

        The window opens with the first change and is not prolonged by further ones, so an endless stream of changes
        cannot keep one back.
        """
        self._pending = snapshot
        if urgent or self._current is None or self._debounce_seconds == 0:
            self._serve()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._debounce_seconds, self._serve)

    def _serve(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        snapshot, self._pending = self._pending, None
        if snapshot is None or snapshot == self._current:
            return
        self._current = snapshot
        self._followers.set()

    async def ready(self) -> None:
        """Return when there is something to serve."""
        wake = asyncio.Event()
        with self.following(wake.set):
            while self._current is None:
                await wake.wait()
                wake.clear()

    def following(self, wake: Wake) -> AbstractContextManager[None]:
        """While the block runs, ``wake`` is called at each change."""
        return self._followers.holding(wake)
