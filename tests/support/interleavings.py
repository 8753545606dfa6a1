"""Every order in which the steps of several can come: what a race can do is tried and not hoped for.

A step is one call of a store. ``explore`` runs the same actors again and again, each time in another order, until there
is none left; the calls must wait for nothing but their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry, Listing


class Turn:
    """One actor's: it waits here before each step."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self._go = asyncio.Event()

    async def __call__(self) -> None:
        self._go.clear()
        self.waits.set()
        await self._go.wait()

    def go(self) -> None:
        self.waits.clear()
        self._go.set()


class InTurn(MemoryStore):
    """``store``, a step at a time."""

    def __init__(self, store: MemoryStore, turn: Turn) -> None:
        super().__init__()
        self._store = store
        self._turn = turn

    async def list(self, at: int = 0) -> Listing:
        await self._turn()
        return await self._store.list(at)

    async def get(self, key: str) -> Entry | None:
        await self._turn()
        return await self._store.get(key)

    async def put(self, key: str, value: bytes, **how: Any) -> Entry:
        await self._turn()
        return await self._store.put(key, value, **how)

    async def delete(self, key: str, **how: Any) -> int:
        await self._turn()
        return await self._store.delete(key, **how)


@dataclass
class Scene:
    """What is played, from the beginning: ``check`` is given what became of each actor, in their order."""

    actors: Sequence[Callable[[Turn], Awaitable[Any]]]
    check: Callable[[Sequence[Any]], Awaitable[None]]


async def explore(scene: Callable[[], Awaitable[Scene]]) -> int:
    """Play it in every order; answers how many there are. The order is in the message of what a check raises."""
    orders = 0
    ahead: list[tuple[int, ...]] = [()]
    while ahead:
        played, branches = await _play(await scene(), ahead.pop())
        ahead += branches
        orders += 1
        assert played or not branches
    return orders


async def _play(scene: Scene, beginning: tuple[int, ...]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    turns = [Turn() for _ in scene.actors]
    tasks = [asyncio.ensure_future(actor(turn)) for actor, turn in zip(scene.actors, turns, strict=True)]
    order: tuple[int, ...] = ()
    branches: list[tuple[int, ...]] = []
    try:
        async with asyncio.timeout(10):
            for turn, task in zip(turns, tasks, strict=True):
                await _at_turn(turn, task)
            while ready := [number for number, task in enumerate(tasks) if not task.done()]:
                if len(order) < len(beginning):
                    chosen = beginning[len(order)]
                else:
                    chosen, *others = ready
                    branches += [(*order, other) for other in others]
                order = (*order, chosen)
                turns[chosen].go()
                await _at_turn(turns[chosen], tasks[chosen])
        await scene.check(await asyncio.gather(*tasks, return_exceptions=True))
    except BaseException as error:
        error.add_note(f"in the order {order}")
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return order, branches


async def _at_turn(turn: Turn, task: asyncio.Future[Any]) -> None:
    waiting = asyncio.ensure_future(turn.waits.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
