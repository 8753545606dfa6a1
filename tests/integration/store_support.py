"""What the tests of the stores share: following a watch, and a line to etcd whose trouble a test chooses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self, TypeVar, cast

from hfi_core.store.protocol import Change, Store, WatchBatch

S = TypeVar("S", bound=Store)
#: A test that waits longer for something has failed.
DEADLINE_SECONDS = 20.0


class Follower:
    """Reads a watch in the background, and keeps all that it said."""

    def __init__(self, store: Store, from_revision: int) -> None:
        self.batches: list[WatchBatch] = []
        self._store = store
        self._from = from_revision
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def changes(self) -> list[Change]:
        return [change for batch in self.batches for change in batch.changes]

    async def __aenter__(self) -> Follower:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await self._task

    async def _read(self) -> None:
        watch = cast("AsyncGenerator[WatchBatch, None]", self._store.watch(self._from))
        try:
            async with contextlib.aclosing(watch):
                async for batch in watch:
                    self.batches.append(batch)
                    self._news.set()
        finally:
            self._news.set()

    async def count(self, changes: int) -> list[Change]:
        """The changes, when there are so many; raises what the watch raised, when it ended."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.changes) < changes:
                await self._more()
        return self.changes

    async def heartbeat(self) -> WatchBatch:
        """The next batch without changes."""
        seen = len(self.batches)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(not batch.changes for batch in self.batches[seen:]):
                await self._more()
        return self.batches[-1]

    async def ended(self) -> None:
        """When the watch has ended; raises what it raised."""
        assert self._task is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            await asyncio.shield(self._task)

    async def _more(self) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
            raise AssertionError("the watch ended")
        self._news.clear()
        await self._news.wait()


@contextlib.asynccontextmanager
async def started(store: S) -> AsyncIterator[S]:
    """A store that is started, and closed after."""
    try:
        await store.start()
        yield store
    finally:
        await store.close()


class Relay:
    """TCP in front of a member. Each trouble is one that a network has; the member itself is well."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.target = target_port
        self.delay_seconds = 0.0
        """Each way."""
        self.deaf = False
        """What etcd answers is lost; what it is asked arrives."""
        self._down = False
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """End every connection; new ones are fine."""
        lines = tuple(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def down(self) -> None:
        """End every connection, and let none come about until ``up``."""
        self._down = True
        await self.cut()

    def up(self) -> None:
        self._down = False

    @property
    def connections(self) -> int:
        return len(self._lines)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            writer.close()
            return
        line = asyncio.create_task(self._line(reader, writer))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)

    async def _line(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            with contextlib.closing(up_writer):
                ways = [
                    asyncio.create_task(self._pump(reader, up_writer, answers=False)),
                    asyncio.create_task(self._pump(up_reader, writer, answers=True)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        while data := await reader.read(65_536):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if not (answers and self.deaf):
                writer.write(data)
