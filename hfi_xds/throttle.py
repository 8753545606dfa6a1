"""How many responses are on their way at one time.

What is on its way is held in gRPC's buffers, and a filter's module is a megabyte: written to two thousand streams at
once it would be gigabytes. So a stream takes a place before it even asks what is due. Who had to wait sends what is
newest when its turn comes, and holds nothing until then.

A client that does not read must not keep a place: a hundred of them would hold up everybody. So a place that has been
held for :data:`HELD_SECONDS` is free again, although its write goes on. Letting those go ahead who have waited for so
long would hold up less, but let go all at once whom the limit is there to hold back; this way, each hundred slow
clients cost the others a second, and what is on its way grows by no more than the limit in a second.
"""

from __future__ import annotations

import asyncio

#: Long beside a megabyte on any network that a proxy is reached by, and short beside the time to take a response.
HELD_SECONDS = 1.0


class Throttle:
    """Places for ``limit`` writes, given in the order in which they are asked for. Belongs to one event loop."""

    def __init__(self, limit: int, held_seconds: float = HELD_SECONDS) -> None:
        self._free = asyncio.Semaphore(limit)
        self._held_seconds = held_seconds
        #: Since when, the oldest first. One timer watches over the oldest, and only while none is free: each
        #: stream takes a place for each change, and hardly ever the last one.
        self._held: dict[Place, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def place(self) -> Place:
        """``async with`` waits for it, and holds it while the block runs, but no longer than is fair."""
        return Place(self)

    async def take(self, place: Place) -> None:
        """Wait until it is free."""
        await self._free.acquire()
        self._held[place] = asyncio.get_running_loop().time()
        if self._free.locked():
            self._watch()

    def give_back(self, place: Place) -> None:
        """It is free for others, if it was not already."""
        if self._held.pop(place, None) is not None:
            self._free.release()

    def _watch(self) -> None:
        if self._timer is None and self._held:
            oldest = next(iter(self._held.values()))
            self._timer = asyncio.get_running_loop().call_at(oldest + self._held_seconds, self._free_the_oldest)

    def _free_the_oldest(self) -> None:
        self._timer = None
        over = asyncio.get_running_loop().time() - self._held_seconds
        for place in [place for place, since in self._held.items() if since <= over]:
            self.give_back(place)
        if self._free.locked():
            self._watch()


class Place:
    """One of them, taken once."""

    __slots__ = ("_throttle",)

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    async def __aenter__(self) -> None:
        await self._throttle.take(self)

    async def __aexit__(self, *_: object) -> None:
        self._throttle.give_back(self)
