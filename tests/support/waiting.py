"""Waiting for a condition, with a deadline. Never a sleep of a guessed length."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T], *, within: float = 10.0, what: str = "the condition") -> T:
    """What ``condition`` answers as soon as it is true; fails with its last answer after ``within`` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s: {answer!r}"
        await asyncio.sleep(0.005)


async def eventually_async(
    condition: Callable[[], Awaitable[T]], *, within: float = 10.0, what: str = "the condition"
) -> T:
    """The same for a condition that must be awaited."""
    deadline = time.monotonic() + within
    while True:
        answer = await condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what} did not come true within {within} s: {answer!r}"
        await asyncio.sleep(0.005)
