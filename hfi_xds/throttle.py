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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: Long beside a megabyte on any network that a proxy is reached by, and short beside the time to take a response.
HELD_SECONDS = 1.0


class Throttle:
    """Places for ``limit`` writes, given in the order in which they are asked for. Belongs to one event loop."""

    def __init__(self, limit: int, held_seconds: float = HELD_SECONDS) -> None:
        self._free = asyncio.Semaphore(limit)
        self._held_seconds = held_seconds

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the block runs, but no longer than is fair."""
        await self._free.acquire()
        held = True

        def give_back() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._held_seconds, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
