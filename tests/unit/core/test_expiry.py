from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hfi_core import expiry
from hfi_core.errors import StoreUnavailable
from hfi_core.expiry import ExpirationRegistry, due, next_due_ms
from hfi_core.feed import Feed
from hfi_core.policy.model import Policy
from hfi_core.policy.stored import encode
from hfi_core.store.memory import MemoryStore
from tests.support.policies import abort_rule, policy
from tests.support.waiting import eventually
from tests.unit.core.conftest import Clock


async def put(store: MemoryStore, name: str, applied_ms: int, *durations: int) -> None:
    rules = [abort_rule(f"r{number}", duration_seconds=seconds) for number, seconds in enumerate(durations)]
    # Without the store's own expiry, so that only the registry can be what removes it.
    await store.put(name, encode(Policy.model_validate(policy(name, *rules)), applied_ms))


@contextlib.asynccontextmanager
async def running(registry: ExpirationRegistry) -> AsyncIterator[None]:
    task = asyncio.create_task(registry.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_due_is_what_has_no_rule_left(store: MemoryStore, feed: Feed, clock: Clock) -> None:
    await put(store, "both-ended", clock.now - 20_000, 5, 10)
    await put(store, "one-goes-on", clock.now - 20_000, 5, 30)
    await put(store, "no-end", clock.now - 20_000, 5, 0)
    snapshot = await feed.reached(3)
    assert [stored.name for stored in due(snapshot, clock.now)] == ["both-ended"]
    assert next_due_ms(snapshot, clock.now) == clock.now + 10_000
    assert next_due_ms(snapshot, clock.now + 10_000) is None


async def test_a_policy_leaves_when_its_last_rule_ends(
    store: MemoryStore, feed: Feed, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "LOOK_AGAIN_SECONDS", 0.01)
    await put(store, "p", clock.now, 10)
    await put(store, "stays", clock.now, 0)
    async with running(ExpirationRegistry(store, feed, clock)):
        clock.now += 9_999
        await feed.changed_from(await feed.reached(2), within=0.05)
        assert feed.current is not None
        assert feed.current.policies.keys() == {"p", "stays"}
        clock.now += 1
        await eventually(lambda: feed.current is not None and feed.current.policies.keys() == {"stays"})


async def test_a_store_that_fails_is_asked_again(
    store: MemoryStore, feed: Feed, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "RETRY_SECONDS", 0.01)
    asked = []

    class Failing(MemoryStore):
        async def delete(self, key: str, *, expected: int | None = None) -> int:
            asked.append((key, expected))
            if len(asked) < 3:
                raise StoreUnavailable("etcd is away")
            return await store.delete(key, expected=expected)

    await put(store, "p", clock.now - 20_000, 10)
    await feed.reached(1)
    async with running(ExpirationRegistry(Failing(), feed, clock)):
        await eventually(lambda: feed.current is not None and not feed.current.policies)
    assert asked == [("p", 1)] * 3


async def test_what_was_applied_anew_meanwhile_stays(store: MemoryStore, feed: Feed, clock: Clock) -> None:
    await put(store, "p", clock.now - 20_000, 10)
    stale = Feed(store, clock)
    registry = ExpirationRegistry(store, stale, clock)
    [ended] = due(await feed.reached(1), clock.now)
    await put(store, "p", clock.now, 10)
    await registry._delete(ended)
    assert (await feed.reached(2)).policies["p"].applied_at_ms == clock.now
