"""What is read from a real etcd: pages, fragments, what is compacted, and watches that go on."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hfi_core.errors import StoreUnavailable, WatchCompacted
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.protocol import Entry
from tests.integration.store_support import Follower, Relay, started
from tests.support.etcd import Etcd

pytestmark = pytest.mark.etcd

PREFIX = "/hfi/policies/"


@pytest.fixture
async def store(etcd: Etcd) -> AsyncIterator[EtcdStore]:
    made = EtcdStore(etcd.settings)
    async with started(made):
        yield made


async def test_a_large_listing_comes_in_pages_at_one_revision(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(etcd.settings, page_size=10)
    async with started(EtcdStore(settings)) as store:
        entries = [await store.put(f"k{number:03}", b"x" * 500) for number in range(45)]
        pages = 0
        ask = store._client.range

        async def between_pages(*arguments: Any, **options: Any) -> Any:
            nonlocal pages
            page = await ask(*arguments, **options)
            pages += 1
            # Behind the page's end, before it, and one that is new: none of them is in a listing begun before.
            await asyncio.to_thread(etcd.ctl, "put", f"{PREFIX}k044", f"changed-{pages}")
            await asyncio.to_thread(etcd.ctl, "del", f"{PREFIX}k000")
            await asyncio.to_thread(etcd.ctl, "put", f"{PREFIX}k0{pages}5-new", "x")
            return page

        monkeypatch.setattr(store._client, "range", between_pages)
        listing = await store.list()
        assert pages == 5
        assert list(listing.entries) == entries
        assert listing.revision == entries[-1].version
        # And a watch from there has what came in between.
        monkeypatch.undo()
        async with Follower(store, listing.revision) as follower:
            changes = await follower.count(2 * pages + 1)
        assert changes[0].revision == listing.revision + 1


async def test_a_listing_that_is_compacted_between_its_pages_begins_again(
    etcd: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(EtcdStore(replace(etcd.settings, page_size=2))) as store:
        for number in range(5):
            await store.put(f"k{number}", b"1")
        ask = store._client.range
        compactions = [1]

        async def between_pages(*arguments: Any, **options: Any) -> Any:
            page = await ask(*arguments, **options)
            if compactions and compactions.pop():
                revision = etcd.json("put", f"{PREFIX}k9", "1")["header"]["revision"]
                etcd.ctl("compact", str(revision))
            return page

        monkeypatch.setattr(store._client, "range", between_pages)
        assert [entry.key for entry in (await store.list()).entries] == ["k0", "k1", "k2", "k3", "k4", "k9"]
        assert not compactions
        compactions.extend([1] * 100)
        with pytest.raises(StoreUnavailable, match="compacts faster"):
            await store.list()


async def test_a_listing_larger_than_grpcs_own_bound_is_read(etcd: Etcd, store: EtcdStore) -> None:
    for number in range(6):
        await store.put(f"k{number}", bytes([number]) * 1_000_000)
    assert [len(entry.value) for entry in (await store.list()).entries] == [1_000_000] * 6


async def test_large_changes_come_in_fragments_and_arrive_whole(etcd: Etcd, store: EtcdStore) -> None:
    start = (await store.list()).revision
    entries = [await store.put(f"k{number}", bytes([number]) * 1_000_000) for number in range(6)]
    async with Follower(store, start) as follower:
        changes = await follower.count(6)
    assert [change.entry for change in changes] == entries


async def test_a_watch_from_a_compacted_revision_says_so(etcd: Etcd, store: EtcdStore) -> None:
    for number in range(3):
        entry = await store.put("a", str(number).encode())
    etcd.ctl("compact", str(entry.version))
    for revision in (0, entry.version - 1):
        async with Follower(store, revision) as follower:
            with pytest.raises(WatchCompacted):
                await follower.ended()
    async with Follower(store, entry.version) as follower:
        later = await store.put("b", b"1")
        assert [change.entry for change in await follower.count(1)] == [later]


async def test_a_watch_from_a_revision_that_is_not_there_yet_says_list_again(store: EtcdStore) -> None:
    revision = (await store.list()).revision
    async with Follower(store, revision + 100) as follower:
        with pytest.raises(WatchCompacted):
            await follower.ended()


@pytest.mark.parametrize("lost", [True, False])
async def test_compaction_while_the_watch_is_down(etcd: Etcd, lost: bool) -> None:
    """What was not seen is lost or is not, and the watch knows which."""
    async with (
        Relay(etcd.client_port) as relay,
        started(EtcdStore(replace(etcd.settings, endpoints=(relay.endpoint,)))) as store,
    ):
        seen = await store.put("a", b"1")
        async with Follower(store, seen.version) as follower:
            await follower.heartbeat()
            await relay.down()
            # A delete exactly at the revision that is compacted is the one that etcd would leave out.
            etcd.ctl("del", PREFIX + "a")
            etcd.ctl("put", PREFIX + "b", "2")
            etcd.ctl("compact", str(seen.version + lost))
            relay.up()
            if lost:
                with pytest.raises(WatchCompacted):
                    await follower.ended()
                assert follower.changes == []
            else:
                removed, added = await follower.count(2)
                assert (removed.key, removed.entry, added.key) == ("a", None, "b")


async def test_compaction_behind_a_watch_that_is_up_does_not_disturb_it(etcd: Etcd, store: EtcdStore) -> None:
    first = await store.put("a", b"1")
    async with Follower(store, first.version) as follower:
        second = await store.put("a", b"2")
        await follower.count(1)
        etcd.ctl("compact", str(second.version))
        third = await store.put("a", b"3")
        assert [change.entry for change in await follower.count(2)] == [second, third]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_watch_goes_on_when_etcd_is_back_and_nothing_is_lost_or_comes_twice(
    etcd: Etcd, how: signal.Signals
) -> None:
    async with started(EtcdStore(replace(etcd.settings, request_seconds=1.0))) as store:
        entries: list[Entry] = [await store.put("k", b"0")]
        async with Follower(store, entries[0].version - 1) as follower:
            for _ in range(2):
                entries += [await store.put(f"k{number}", b"before") for number in range(3)]
                await follower.count(len(entries))
                etcd.stop(how)
                with pytest.raises(StoreUnavailable):
                    await store.put("refused", b"")
                etcd.start()
                entries += [await store.put(f"k{number}", b"after") for number in range(3)]
                await follower.count(len(entries))
            await follower.heartbeat()
        assert [change.entry for change in follower.changes] == entries
        assert list((await store.list()).entries) == sorted([entries[0], *entries[-3:]], key=lambda entry: entry.key)


async def test_a_connection_that_is_cut_again_and_again_costs_no_change(etcd: Etcd) -> None:
    async with (
        Relay(etcd.client_port) as relay,
        started(EtcdStore(replace(etcd.settings, endpoints=(relay.endpoint,)))) as watching,
        started(EtcdStore(etcd.settings)) as writing,
    ):
        start = (await writing.list()).revision
        async with Follower(watching, start) as follower:
            entries = []
            for number in range(100):
                entries.append(await writing.put(f"k{number % 5}", str(number).encode()))
                if number % 20 == 10:
                    await follower.count(number // 2)
                    await relay.cut()
            assert [change.entry for change in await follower.count(100)] == entries
