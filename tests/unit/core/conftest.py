from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hfi_core.feed import Feed
from hfi_core.store.memory import MemoryStore


class Clock:
    """Unix milliseconds that stand still until told."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    memory = MemoryStore()
    await memory.start()
    yield memory
    await memory.close()


@pytest.fixture
async def feed(store: MemoryStore, clock: Clock) -> AsyncIterator[Feed]:
    """A feed that is already following the store."""
    following = Feed(store, clock)
    task = asyncio.create_task(following.run())
    await following.reached(0)
    yield following
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
