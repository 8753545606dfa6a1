"""The laws of the store protocol, asked of every store. What only etcd can show is in ``test_store_etcd.py``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, EntryMissing, StoreError, StoreUnavailable
from hfi_core.store.embedded import EmbeddedSettings, EmbeddedStore
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry, Store
from hfi_core.store.settings import EtcdSettings
from tests.integration.store_support import DEADLINE_SECONDS, Follower, started
from tests.support.etcd import Etcd, require_etcd
from tests.support.waiting import eventually_async

ETCD = pytest.mark.etcd
FAST = EtcdSettings(heartbeat_seconds=0.2, hung_seconds=5.0)


@pytest.fixture(params=["memory", pytest.param("etcd", marks=ETCD), pytest.param("embedded", marks=ETCD)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Makes stores that are not started. Those in etcd share one etcd but no keys; the others share nothing."""
    kind: str = request.param
    if kind == "memory":
        return lambda: MemoryStore(heartbeat=0.2)
    require_etcd()
    if kind == "embedded":
        directories = iter(range(100))
        return lambda: EmbeddedStore(EmbeddedSettings(tmp_path / f"data-{next(directories)}", client=FAST))
    server: Etcd = request.getfixturevalue("etcd")
    numbers = iter(range(100))

    def make() -> Store:
        number = next(numbers)
        return EtcdStore(
            EtcdSettings(
                (server.endpoint,),
                prefix=f"/test-{number}/policies/",
                epoch_key=f"/test-{number}/epoch",
                heartbeat_seconds=0.2,
                hung_seconds=5.0,
            )
        )

    return make


@pytest.fixture
async def store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    async with started(make_store()) as ready:
        yield ready


async def test_law_1_each_write_makes_the_revision_larger(store: Store) -> None:
    before = (await store.list()).revision
    first = await store.put("a", b"1")
    second = await store.put("b", b"\x00\xff")
    third = await store.put("a", b"3")
    removed = await store.delete("b")
    assert before < first.version < second.version < third.version < removed
    assert (await store.list()).revision == removed


async def test_a_listing_is_sorted_and_says_what_get_says(store: Store) -> None:
    for key in ("b", "a.b", "a", "a-b", "z" * 200):
        await store.put(key, key.encode())
    listing = await store.list()
    assert [entry.key for entry in listing.entries] == sorted(["b", "a.b", "a", "a-b", "z" * 200])
    for entry in listing.entries:
        assert await store.get(entry.key) == entry
    assert await store.get("c") is None


async def test_a_listing_can_be_of_one_revision(store: Store) -> None:
    revision = (await store.put("a", b"1")).version
    assert await store.list(revision) == await store.list()
    with pytest.raises(StoreError):
        await store.list(revision + 1_000)


async def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert (await store.list()).entries == ()


async def test_law_2_writes_compare_and_swap(store: Store) -> None:
    entry = await store.put("a", b"1", expected=0)
    for stale in (0, entry.version + 1, entry.version - 1 or 99):
        with pytest.raises(EntryConflict) as conflict:
            await store.put("a", b"2", expected=stale)
        assert (conflict.value.key, conflict.value.wanted, conflict.value.present) == ("a", stale, entry.version)
        with pytest.raises(EntryConflict) as conflict:
            await store.delete("a", expected=stale)
        assert (conflict.value.key, conflict.value.wanted, conflict.value.present) == ("a", stale, entry.version)
    with pytest.raises(EntryConflict) as conflict:
        await store.put("absent", b"1", expected=entry.version)
    assert conflict.value.present == 0
    assert (await store.list()).entries == (entry,)
    await store.delete("a", expected=entry.version)
    for expected in (None, 0, entry.version):
        with pytest.raises(EntryMissing):
            await store.delete("a", expected=expected)
    again = await store.put("a", b"3", expected=0)
    assert again.version > entry.version


async def test_law_2_a_write_can_hang_on_other_keys(store: Store) -> None:
    other = await store.put("other", b"1")
    holds = {"other": other.version, "absent": 0}
    entry = await store.put("a", b"1", expected=0, provided=holds)
    entry = await store.put("a", b"2", provided=holds)
    entry = await store.put("a", b"3", expected=entry.version, provided=holds)
    for provided, key, present in (
        ({"other": other.version - 1 or 99}, "other", other.version),
        ({"absent": 0, "other": 0}, "other", other.version),
        ({"other": other.version, "absent": other.version}, "absent", 0),
    ):
        for expected in (None, entry.version):
            for write in (
                store.put("a", b"4", expected=expected, provided=provided),
                store.delete("a", expected=expected, provided=provided),
            ):
                with pytest.raises(EntryConflict) as conflict:
                    await write
                found = (conflict.value.key, conflict.value.wanted, conflict.value.present)
                assert found == (key, provided[key], present)
    with pytest.raises(EntryConflict) as conflict:
        await store.put("a", b"4", expected=0, provided=holds)
    assert conflict.value.key == "a"
    assert (await store.list()).entries == (entry, other)
    await store.delete("a", expected=entry.version, provided=holds)
    with pytest.raises(EntryMissing):
        await store.delete("a", provided=holds)
    assert (await store.list()).entries == (other,)


async def test_law_2_of_two_writes_that_each_hang_on_the_others_key_one_is_done(store: Store) -> None:
    for number in range(10):
        left, right = f"l{number}", f"r{number}"
        results = await asyncio.gather(
            store.put(left, b"1", expected=0, provided={right: 0}),
            store.put(right, b"1", expected=0, provided={left: 0}),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["Entry", "EntryConflict"]


async def test_law_2_of_many_writers_with_one_expectation_one_wins(store: Store) -> None:
    entry = await store.put("a", b"0")

    async def write(number: int) -> int | None:
        try:
            return (await store.put("a", str(number).encode(), expected=entry.version)).version
        except EntryConflict:
            return None

    versions = [version for version in await asyncio.gather(*map(write, range(20))) if version is not None]
    assert len(versions) == 1
    left = await store.get("a")
    assert left is not None
    assert left.version == versions[0]


async def test_writers_without_an_expectation_all_write(store: Store) -> None:
    written = await asyncio.gather(*(store.put("a", str(number).encode()) for number in range(10)))
    assert len({entry.version for entry in written}) == 10
    assert await store.get("a") == max(written, key=lambda entry: entry.version)


async def test_law_3_a_watch_yields_every_change_in_order_and_none_twice(store: Store) -> None:
    start = (await store.put("before", b"")).version
    async with Follower(store, start) as follower:
        expected: list[tuple[str, Entry | None, int]] = []
        for number in range(50):
            entry = await store.put(f"k{number % 7}", str(number).encode())
            expected.append((entry.key, entry, entry.version))
            if number % 10 == 9:
                key = f"k{number % 7}"
                expected.append((key, None, await store.delete(key)))
        changes = await follower.count(len(expected))
        assert [(change.key, change.entry, change.revision) for change in changes] == expected
        assert follower.batches[-1].revision == expected[-1][2]


async def test_law_3_a_watch_can_begin_in_the_past_and_many_can_read(store: Store) -> None:
    start = (await store.list()).revision
    entries = [await store.put(f"k{number}", b"x") for number in range(5)]
    async with Follower(store, start) as one, Follower(store, entries[2].version) as two:
        assert [change.entry for change in await one.count(5)] == entries
        assert [change.entry for change in await two.count(2)] == entries[3:]


async def test_law_3_what_is_listed_and_what_is_watched_fit_together(store: Store) -> None:
    """A reader that lists and watches while others write ends with what is there."""

    async def write(writer: int) -> None:
        for number in range(20):
            await store.put(f"k{writer}", str(number).encode())
            if number % 5 == 4:
                await store.delete(f"k{writer}")

    writers = [asyncio.create_task(write(writer)) for writer in range(4)]
    listing = await store.list()
    folded = {entry.key: entry for entry in listing.entries}
    async with Follower(store, listing.revision) as follower:
        await asyncio.gather(*writers)
        last = await store.put("last", b"")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not follower.changes or follower.changes[-1].revision < last.version:
                await follower.count(len(follower.changes) + 1)
    for change in follower.changes:
        if change.entry is None:
            folded.pop(change.key, None)
        else:
            folded[change.key] = change.entry
    assert folded == {entry.key: entry for entry in (await store.list()).entries}


async def test_a_quiet_watch_proves_that_it_is_alive(store: Store) -> None:
    version = (await store.put("a", b"1")).version
    async with Follower(store, version) as follower:
        assert (await follower.heartbeat()).revision == version
        entry = await store.put("a", b"2")
        assert [change.entry for change in await follower.count(1)] == [entry]
        assert (await follower.heartbeat()).revision == entry.version


async def test_law_4_an_entry_leaves_at_its_end_and_a_watch_sees_it(store: Store) -> None:
    end = now_ms() + 1500
    entry = await store.put("ends", b"1", expires_at_ms=end)
    await store.put("stays", b"1", expires_at_ms=now_ms() + 3_600_000)
    async with Follower(store, entry.version) as follower:
        change = (await follower.count(2))[-1]
        late = now_ms() - end
        assert (change.key, change.entry) == ("ends", None)
    assert 0 <= late < 5_000
    assert [left.key for left in (await store.list()).entries] == ["stays"]


async def test_law_4_an_end_in_the_past_is_soon(store: Store) -> None:
    await store.put("a", b"1", expires_at_ms=now_ms() - 60_000)

    async def gone() -> bool:
        return await store.get("a") is None

    await eventually_async(gone, within=DEADLINE_SECONDS)


async def test_law_4_a_write_without_an_end_takes_the_end_away_and_one_with_another_moves_it(store: Store) -> None:
    soon = now_ms() + 1200
    for key in ("freed", "later", "witness"):
        await store.put(key, b"1", expires_at_ms=soon)
    start = (await store.put("freed", b"2")).version
    await store.put("later", b"2", expires_at_ms=now_ms() + 3_600_000)
    async with Follower(store, start) as follower:
        await follower.count(2)  # The write of "later", and the end of "witness", which had the same end.
        assert [change.key for change in follower.changes] == ["later", "witness"]
        await follower.heartbeat()
    assert [entry.key for entry in (await store.list()).entries] == ["freed", "later"]


async def test_law_5_an_epoch_stays_and_is_no_other_stores(make_store: Callable[[], Store]) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(started(make_store()))
        two = await stack.enter_async_context(started(make_store()))
        epoch = await one.epoch()
        await one.put("a", b"1")
        assert await one.epoch() == epoch
        assert await two.epoch() != epoch


async def test_a_closed_store_ends_its_watches_and_refuses(store: Store) -> None:
    version = (await store.put("a", b"1")).version
    async with Follower(store, version) as follower:
        await follower.heartbeat()
        await store.close()
        await follower.ended()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.list()
    with pytest.raises(StoreUnavailable):
        await store.put("a", b"2")


async def test_a_store_can_be_closed_before_it_is_started(make_store: Callable[[], Store]) -> None:
    await make_store().close()


async def test_a_tenancy_is_written_whole_and_ends_whole(store: Store) -> None:
    async with started(store.beside("status")) as room:
        before = (await room.list()).revision
        tenant, other = room.tenancy("a", 60), room.tenancy("b", 60)
        async with Follower(room, before) as watching:
            await tenant.write(b"1", {"a/x": b"x", "a/y": b"y"}, ())
            assert [change.key for change in await watching.count(3)] == ["a", "a/x", "a/y"]
            assert len([batch for batch in watching.batches if batch.changes]) == 1
        await other.write(b"1", {"b/x": b"x"}, ())
        await tenant.write(b"2", {"a/y": b"z"}, ["a/x", "a/never"])
        await tenant.renew()
        found = {entry.key: entry.value for entry in (await room.list()).entries}
        assert found == {"a": b"2", "a/y": b"z", "b": b"1", "b/x": b"x"}
        await tenant.end()
        await tenant.end()
        assert [entry.key for entry in (await room.list()).entries] == ["b", "b/x"]
        await tenant.write(b"3", {"a/x": b"x"}, ())
        assert len((await room.list()).entries) == 4
        await other.end()
        await tenant.end()


async def test_beside_it_there_is_room_for_other_documents(store: Store) -> None:
    async with started(store.beside("filter")) as filters, started(store.beside("filter")) as again:
        before = (await store.list()).revision
        await filters.put("a", b"1")
        await store.put("b", b"2")
        assert [entry.key for entry in (await store.list()).entries] == ["b"]
        assert [entry.key for entry in (await again.list()).entries] == ["a"]
        assert (await again.get("a")) == (await filters.get("a"))
        async with Follower(store, before) as watching:
            await filters.put("c", b"3")
            await store.put("d", b"4")
            assert [change.key for change in await watching.count(2)] == ["b", "d"]
