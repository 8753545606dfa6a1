"""How many responses are on their way at one time, and whose turn it is.

What is on its way is held in gRPC's buffers, and a filter's module is a megabyte: written to two thousand streams at
once it would be gigabytes. So a stream is woken for news only when it has a place, and asks what is due only then. Who
had to wait sends what is newest when its turn comes, and holds nothing until then.

A client that does not read must not keep a place: a hundred of them would hold up everybody. So a place that has been
held for :data:`HELD_SECONDS` is free again, although its write goes on. Letting those go ahead who have waited for so
long would hold up less, but let go all at once whom the limit is there to hold back; this way, each hundred slow
clients cost the others a second, and what is on its way grows by no more than the limit in a second.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

#: Long beside a megabyte on any network that a proxy is reached by, and short beside the time to take a response.
HELD_SECONDS = 1.0


class Throttle:
    """``limit`` places, given in the order in which they are asked for. Belongs to one event loop."""

    def __init__(self, limit: int, held_seconds: float = HELD_SECONDS) -> None:
        self._free = limit
        self._held_seconds = held_seconds
        self._waiting: OrderedDict[Turn, None] = OrderedDict()
        #: Since when, the oldest first. One timer watches over the oldest, and only while somebody waits: each stream
        #: takes a place for each change.
        self._held: dict[Turn, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def turn(self) -> Turn:
        """Of one stream, which closes it when it ends."""
        return Turn(self)

    def ask(self, turn: Turn) -> None:
        """Give it a place now, or when its turn has come."""
        if self._free:
            self._free -= 1
            self._give(turn)
        else:
            self._waiting[turn] = None
            self._watch()

    def give_back(self, turn: Turn) -> None:
        """It needs its place no longer, if it still has one, and waits for none."""
        self._waiting.pop(turn, None)
        if self._held.pop(turn, None) is None:
            return
        if self._waiting:
            self._give(self._waiting.popitem(last=False)[0])
        else:
            self._free += 1

    def _give(self, turn: Turn) -> None:
        self._held[turn] = asyncio.get_running_loop().time()
        turn.come()

    def _watch(self) -> None:
        if self._timer is None and self._held:
            oldest = next(iter(self._held.values()))
            self._timer = asyncio.get_running_loop().call_at(oldest + self._held_seconds, self._free_the_oldest)

    def _free_the_oldest(self) -> None:
        self._timer = None
        over = asyncio.get_running_loop().time() - self._held_seconds
        for turn in [turn for turn, since in self._held.items() if since <= over]:
            self.give_back(turn)
        if self._waiting:
            self._watch()


class Turn:
    """What one stream waits on: for a place, when there is news, or to be called without one.

    News that come while it has its turn give it another one afterwards: one, however many they are.
    """

    __slots__ = ("_asked", "_called", "_has_come", "_news", "_throttle", "_waiter")

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._waiter: asyncio.Future[None] | None = None
        #: Between asking for a place and the end of the turn.
        self._asked = False
        self._has_come = False
        self._news = False
        self._called = False

    @property
    def has_come(self) -> bool:
        """Whether it is the stream's turn; it is over with :meth:`end`."""
        return self._has_come

    def news(self) -> None:
        """Something may be due."""
        if self._asked:
            self._news = self._has_come
        else:
            self._asked = True
            self._throttle.ask(self)

    def call(self) -> None:
        """Something has happened for which no place is needed."""
        self._called = True
        self._wake()

    def come(self) -> None:
        """It has a place: for the throttle to say."""
        self._has_come = True
        self._wake()

    async def wait(self) -> None:
        """Return when it is the stream's turn, or it was called."""
        while not (self._has_come or self._called):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._called = False

    def end(self) -> None:
        """The turn is over, and its place free."""
        news, self._asked, self._has_come, self._news = self._news, False, False, False
        self._throttle.give_back(self)
        if news:
            self.news()

    def close(self) -> None:
        """The stream has ended."""
        self._news = False
        self.end()
        # Whoever still knows it may bring news.
        self._asked = True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
