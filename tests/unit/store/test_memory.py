"""What of the store in memory needs a turned clock; its laws are asked in the contract suite."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import WatchBatch


async def test_a_heartbeat_claims_no_write_that_is_not_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write comes in the very turn of the loop in which the watch's patience ends, and behind it."""
    loop = asyncio.get_running_loop()
    store = MemoryStore(heartbeat=60)
    watch = cast("AsyncGenerator[WatchBatch, None]", store.watch(0))

    def write() -> None:
        with contextlib.suppress(StopIteration):  # A coroutine that never waits ends in its first step.
            store.put("a", b"1").send(None)

    async with contextlib.aclosing(watch):
        reading = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        loop.call_later(61, write)
        monkeypatch.setattr(loop, "time", lambda: time.monotonic() + 100)
        assert await reading == WatchBatch((), 0)
        batch = await anext(watch)
        assert [change.key for change in batch.changes] == ["a"]
        assert batch.revision == 1
