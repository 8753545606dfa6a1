from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hfi_core import newest
from hfi_core.errors import PolicyConflict, PolicyInvalid, PolicyNotFound, Problem, StoreUnavailable
from hfi_core.feed import Feed
from hfi_core.policies import PolicyService
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry
from tests.support.policies import abort_rule, policy
from tests.unit.core.conftest import Clock


def no_problems(document: Any) -> list[Problem]:
    return []


@pytest.fixture
def service(store: MemoryStore, feed: Feed, clock: Clock) -> PolicyService:
    return PolicyService(store, feed, no_problems, clock)


async def test_who_writes_and_then_reads_sees_the_write(service: PolicyService, clock: Clock) -> None:
    first = await service.apply(policy("p"))
    assert first.created
    assert service.get("p") == first.stored
    assert first.stored.applied_at_ms == clock.now
    second = await service.apply(policy("p", priority=3))
    assert not second.created
    assert second.stored.version > first.stored.version
    assert service.get("p").policy.spec.priority == 3
    await service.delete("p")
    with pytest.raises(PolicyNotFound):
        service.get("p")


@pytest.mark.parametrize("by", ["argument", "document"])
async def test_a_stale_version_changes_nothing(service: PolicyService, by: str) -> None:
    old = (await service.apply(policy("p"))).stored.version
    new = (await service.apply(policy("p", priority=1))).stored.version
    document = policy("p", priority=2)
    if by == "document":
        document["metadata"]["version"] = str(old)
    with pytest.raises(PolicyConflict) as conflict:
        await service.apply(document, expected=old if by == "argument" else None)
    assert (conflict.value.expected, conflict.value.actual) == (old, new)
    assert "somebody changed it meanwhile" in str(conflict.value)
    with pytest.raises(PolicyConflict):
        await service.delete("p", expected=old)
    assert service.get("p").version == new


async def test_the_current_version_is_taken(service: PolicyService) -> None:
    document = (await service.apply(policy("p"))).stored.document()
    document["spec"]["priority"] = 9
    assert (await service.apply(document)).stored.policy.spec.priority == 9


async def test_a_policy_that_must_be_new_and_is_not(service: PolicyService) -> None:
    await service.apply(policy("p"), expected=0)
    with pytest.raises(PolicyConflict, match="exists already"):
        await service.apply(policy("p"), expected=0)
    with pytest.raises(PolicyConflict, match="no longer exists"):
        await service.apply(policy("q"), expected=7)


async def test_a_dry_run_writes_nothing(service: PolicyService, store: MemoryStore) -> None:
    assert (await service.apply(policy("p"), dry_run=True)).created
    assert (await store.list()).entries == ()
    with pytest.raises(PolicyInvalid):
        await service.apply({"kind": "x"}, dry_run=True)


async def test_a_writer_without_a_lock_wins_over_another_that_comes_between(feed: Feed, store: MemoryStore) -> None:
    class Interrupted(MemoryStore):
        """Somebody else writes between this service's read and its write, once."""

        interrupted = False

        async def get(self, key: str) -> Entry | None:
            entry = await store.get(key)
            if not self.interrupted:
                self.interrupted = True
                await store.put(key, b"{}")
            return entry

        async def put(
            self, key: str, value: bytes, *, expected: int | None = None, expires_at_ms: int | None = None
        ) -> Entry:
            return await store.put(key, value, expected=expected, expires_at_ms=expires_at_ms)

    applied = await PolicyService(Interrupted(), feed, no_problems).apply(policy("p"))
    assert not applied.created, "the other one created it"
    with pytest.raises(PolicyConflict):
        await PolicyService(Interrupted(), feed, no_problems).apply(policy("p"), expected=applied.stored.version)


async def test_durations_count_from_the_apply(service: PolicyService, store: MemoryStore, clock: Clock) -> None:
    ending = policy("p", abort_rule(duration_seconds=60))
    assert (await service.apply(ending)).stored.expires_at_ms == clock.now + 60_000
    clock.now += 1_000
    assert (await service.apply(ending)).stored.expires_at_ms == clock.now + 60_000


async def test_pages_by_name_and_label(service: PolicyService) -> None:
    for name in ("c", "a", "d", "b"):
        await service.apply(policy(name, labels={"team": "x" if name in "abc" else "y", "n": name}))
    first = service.list({"team": "x"}, limit=2)
    assert [stored.name for stored in first.policies] == ["a", "b"]
    assert first.next_after == "b"
    rest = service.list({"team": "x"}, limit=2, after="b")
    assert [stored.name for stored in rest.policies] == ["c"]
    assert rest.next_after is None
    assert [stored.name for stored in service.list({"team": "x", "n": "b"}).policies] == ["b"]
    assert len(service.list().policies) == 4


async def test_nothing_can_be_read_before_the_store_has_been(store: MemoryStore) -> None:
    service = PolicyService(store, Feed(store), no_problems)
    with pytest.raises(StoreUnavailable, match="not been read yet"):
        service.list()


async def test_a_write_is_done_even_when_the_feed_does_not_show_it(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest, "READ_YOUR_WRITE_SECONDS", 0.01)
    service = PolicyService(store, Feed(store), no_problems)
    async with asyncio.timeout(5):
        applied = await service.apply(policy("p"))
    entry = await store.get("p")
    assert entry is not None
    assert entry.version == applied.stored.version
