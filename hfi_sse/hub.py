"""Parks readers and wakes them: the event loop around :class:`hfi_sse.views.ViewTracker`.

Publishing never waits for a reader: waking sets a future, and each reader then takes the newest by itself.
So a slow reader skips what it missed and holds nobody up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Literal

from hfi_core.feed import Feed
from hfi_core.snapshot import Snapshot, event_data
from hfi_sse.views import Audience, Position, Standing, ViewTracker

log = logging.getLogger(__name__)


class Outcome(Enum):
    """Why a reader waits no longer."""

    CHANGED = "changed"
    TIME_UP = "time is up"
    GONE = "the client is gone"
    STOPPING = "the server stops"


#: A snapshot that the feed has is taken over by then, unless the task that does it is no more.
TAKE_OVER_SECONDS = 1.0

Reader = asyncio.Future[Outcome]
Kind = Literal["endless", "once"]


class StreamHub:
    """All readers of the stream. ``clock`` answers Unix milliseconds."""

    def __init__(self, feed: Feed, clock: Callable[[], int]) -> None:
        self._feed = feed
        self._clock = clock
        self._stopping = False
        self._failed = False
        self._advanced = asyncio.Event()
        self.tracker: ViewTracker[Reader] = ViewTracker()
        #: Requests that are open, by kind of reader.
        self.open: dict[Kind, int] = {"endless": 0, "once": 0}
        #: Events written, by kind of reader.
        self.sent: dict[Kind, int] = {"endless": 0, "once": 0}

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that is being streamed."""
        return self.tracker.snapshot

    @property
    def cut_off_ms(self) -> int:
        """For how long the store has not been heard of; 0 while all is well."""
        return self._feed.cut_off_ms()

    async def catch_up(self, position: Position) -> None:
        """Get as far as this reader, which has seen more than we have, if the store has."""
        if position.version is not None and position.epoch is not None:
            await self._feed.catch_up(position.version, position.epoch)
            # The task that follows the feed takes it over within a turn or two of the loop.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TAKE_OVER_SECONDS):
                    while self.tracker.snapshot is not self._feed.current and not self._stopping:
                        await self._advanced.wait()

    @property
    def stopping(self) -> bool:
        """Whether the end has come."""
        return self._stopping

    @property
    def failed(self) -> bool:
        """Whether the task that follows the feed has died: a mistake of ours, after which nothing is streamed."""
        return self._failed

    async def run(self) -> None:
        """Follow the feed, for ever; ends only by cancellation."""
        try:
            async for snapshot in self._feed.follow():
                for reader in self.tracker.advance(snapshot):
                    _settle(reader, Outcome.CHANGED)
                self._wake()
        except Exception:
            self._failed = True
            log.critical("the stream follows the store no longer; this replica is not ready any more", exc_info=True)
            self.stop()

    def stop(self) -> None:
        """End every stream, now and from now on."""
        self._stopping = True
        self._wake()
        for reader in self.tracker.everyone():
            _settle(reader, Outcome.STOPPING)

    def _wake(self) -> None:
        advanced, self._advanced = self._advanced, asyncio.Event()
        advanced.set()

    def standing(self, audience: Audience, position: Position) -> Standing:
        """How a reader stands to what is being streamed."""
        return self.tracker.standing(audience, position)

    @contextmanager
    def reading(self, kind: Kind) -> Iterator[None]:
        """Around a request for the stream, to count those that are open."""
        self.open[kind] += 1
        try:
            yield
        finally:
            self.open[kind] -= 1

    def event(self, audience: Audience, kind: Kind) -> tuple[Snapshot, bytes]:
        """The snapshot and its update event as this audience is to get it, with the time of now."""
        found = self.tracker.view(audience)
        assert found is not None, "asked only for readers that are behind, so there is a snapshot"
        snapshot, view = found
        self.sent[kind] += 1
        data = event_data(snapshot, view, self._clock())
        return snapshot, b"id: %d\nevent: update\ndata: %b\n\n" % (snapshot.version, data)

    async def wait(
        self,
        audience: Audience,
        position: Position,
        *,
        within: float | None = None,
        gone: asyncio.Future[None] | None = None,
        parked: Callable[[Reader], None] = lambda reader: None,
    ) -> Outcome:
        """Wait until this reader's view changes; it must not be behind.

        At most ``within`` seconds, and no longer than until ``gone`` is done. ``parked`` is told the reader.
        """
        if self._stopping:
            return Outcome.STOPPING
        loop = asyncio.get_running_loop()
        reader: Reader = loop.create_future()
        self.tracker.park(reader, audience, position)
        timer = None if within is None else loop.call_later(within, _settle, reader, Outcome.TIME_UP)
        if gone is not None:
            gone.add_done_callback(lambda _: _settle(reader, Outcome.GONE))
        try:
            parked(reader)
            return await reader
        finally:
            if timer is not None:
                timer.cancel()
            self.tracker.leave(reader)


def _settle(reader: Reader, outcome: Outcome) -> None:
    if not reader.done():
        reader.set_result(outcome)


async def until_gone(receive: Callable[[], Awaitable[object]]) -> None:
    """Return when the client has closed its side: an ASGI ``http.disconnect``."""
    while True:
        message = await receive()
        if isinstance(message, dict) and message["type"] == "http.disconnect":
            return
