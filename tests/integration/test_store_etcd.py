"""What only a real etcd can show: leases, lost answers, epochs; with etcdctl as the witness."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from hfi_core.clock import now_ms
from hfi_core.errors import EntryConflict, EntryMissing, StoreError, StoreUnavailable, WatchCompacted
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.etcd_client import Range
from hfi_core.store.protocol import Entry
from tests.integration.store_support import DEADLINE_SECONDS, Follower, Relay, started
from tests.support.etcd import Etcd, EtcdFactory
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.etcd

PREFIX = "/hfi/policies/"
HOUR_MS = 3_600_000


@pytest.fixture
async def store(etcd: Etcd) -> AsyncIterator[EtcdStore]:
    made = EtcdStore(etcd.settings)
    async with started(made):
        yield made


def leases(etcd: Etcd) -> list[int]:
    return [lease["id"] for lease in etcd.json("lease", "list")["leases"] or ()]


async def test_etcdctl_reads_what_we_write_and_we_read_what_it_writes(etcd: Etcd, store: EtcdStore) -> None:
    entry = await store.put("ours", b"\x00\xffx")
    (found,) = etcd.json("get", PREFIX + "ours")["kvs"]
    assert base64.b64decode(found["value"]) == b"\x00\xffx"
    assert found["mod_revision"] == entry.version
    assert "lease" not in found

    async with Follower(store, entry.version) as follower:
        etcd.ctl("put", PREFIX + "theirs", data=b"\x01two\nlines")
        etcd.ctl("put", "/hfi/policiesbeside", "x")  # Next to the prefix, and not below it.
        etcd.ctl("put", "/hfi/policies", "x")
        revision = etcd.json("del", PREFIX + "ours")["header"]["revision"]
        theirs, removed = await follower.count(2)
    assert theirs.entry == await store.get("theirs")
    assert theirs.entry is not None
    assert theirs.entry.value == b"\x01two\nlines"
    assert (removed.key, removed.entry, removed.revision) == ("ours", None, revision)
    assert [left.key for left in (await store.list()).entries] == ["theirs"]

    await store.delete("theirs", expected=theirs.revision)
    assert etcd.ctl("get", "--prefix", PREFIX) == ""


async def test_a_key_that_is_not_utf_8_hides_no_other(etcd: Etcd, store: EtcdStore) -> None:
    before = await store.put("a", b"1")
    async with Follower(store, before.version) as follower:
        etcd.ctl("put", PREFIX + os.fsdecode(b"\xff"), "x")
        (change,) = await follower.count(1)
    assert change.key == "\\xff"
    assert [entry.key for entry in (await store.list()).entries] == ["a", "\\xff"]


async def test_a_transaction_of_somebody_else_comes_as_one_batch(etcd: Etcd, store: EtcdStore) -> None:
    start = (await store.list()).revision
    async with Follower(store, start) as follower:
        puts = "".join(f'put "{PREFIX}k{number}" "x"\n' for number in range(20))
        etcd.ctl("txn", data=f"\n{puts}\n\n".encode())
        await follower.count(20)
    (batch,) = [batch for batch in follower.batches if batch.changes]
    assert {change.revision for change in batch.changes} == {batch.revision}


async def test_a_key_goes_with_its_lease_while_no_client_is_connected(etcd: Etcd) -> None:
    end = now_ms() + 1500
    async with started(EtcdStore(etcd.settings)) as store:
        await store.put("ends", b"1", expires_at_ms=end)
        await store.put("stays", b"1", expires_at_ms=now_ms() + HOUR_MS)
    await eventually(
        lambda: etcd.ctl("get", "--prefix", "--keys-only", PREFIX).split() == [PREFIX + "stays"],
        within=DEADLINE_SECONDS,
        what="the lease's end",
    )
    assert now_ms() >= end


async def test_a_lease_lasts_as_long_as_the_entry_rounded_up(etcd: Etcd, store: EtcdStore) -> None:
    await store.put("a", b"1", expires_at_ms=now_ms() + HOUR_MS - 400)
    (lease,) = leases(etcd)
    told = etcd.json("lease", "timetolive", f"{lease:x}", "--keys")
    assert told["granted-ttl"] == 3600
    assert [base64.b64decode(key) for key in told["keys"]] == [PREFIX.encode() + b"a"]


async def test_a_write_without_an_end_detaches_the_key_and_no_lease_is_left_behind(
    etcd: Etcd, store: EtcdStore
) -> None:
    for _ in range(3):
        entry = await store.put("a", b"1", expires_at_ms=now_ms() + HOUR_MS)
    await eventually(lambda: len(leases(etcd)) == 1, what="that only the last write's lease is left")
    with pytest.raises(EntryConflict):
        await store.put("a", b"2", expected=entry.version - 1, expires_at_ms=now_ms() + HOUR_MS)
    await eventually(lambda: len(leases(etcd)) == 1, what="that a refused write leaves no lease")
    freed = await store.put("a", b"2")
    await eventually(lambda: not leases(etcd), what="that the lease is revoked")
    assert await store.get("a") == freed
    await store.put("b", b"1", expires_at_ms=now_ms() + HOUR_MS)
    await store.delete("b")
    await eventually(lambda: not leases(etcd), what="that the lease of a deleted key is revoked")


async def test_a_lease_on_which_somebody_hung_a_key_is_left_alone(etcd: Etcd, store: EtcdStore) -> None:
    await store.put("a", b"1", expires_at_ms=now_ms() + HOUR_MS)
    (lease,) = leases(etcd)
    etcd.ctl("put", f"--lease={lease:x}", "/theirs", "x")
    await store.put("a", b"2")
    await eventually(lambda: not store._tidying, what="the tidying")
    assert leases(etcd) == [lease]
    assert etcd.ctl("get", "--print-value-only", "/theirs") == "x\n"


async def test_a_lease_that_cannot_be_revoked_is_left_to_end_by_itself(
    etcd: Etcd, store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the write that came in the place of the old one nor the store's end waits for the tidying."""
    began: list[int] = []

    async def refused(lease: int) -> tuple[bytes, ...]:
        began.append(lease)
        raise StoreUnavailable("no")

    async def endless(lease: int) -> tuple[bytes, ...]:
        began.append(lease)
        await asyncio.Event().wait()
        return ()

    for trouble in (refused, endless):
        monkeypatch.setattr(store._client, "lease_keys", trouble)
        await store.put("a", b"1", expires_at_ms=now_ms() + HOUR_MS)
        await store.put("a", b"2")
    await eventually(lambda: len(began) == 2)
    assert set(leases(etcd)) == set(began)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await store.close()


async def test_an_end_that_comes_before_the_write_is_no_error(
    etcd: Etcd, store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """etcd held up between the lease and the write: the lease is gone when the write comes."""
    granted = store._client.grant

    async def held_up(lease: int, seconds: int) -> None:
        await granted(lease, seconds)
        if not held:
            held.append(lease)
            etcd.ctl("lease", "revoke", f"{lease:x}")

    held: list[int] = []
    monkeypatch.setattr(store._client, "grant", held_up)
    entry = await store.put("a", b"1", expected=0, expires_at_ms=now_ms())
    assert held
    async with Follower(store, entry.version) as follower:
        (change,) = await follower.count(1)
    assert (change.key, change.entry) == ("a", None)


async def test_a_value_that_etcd_does_not_take_is_said_to_be_too_large(store: EtcdStore) -> None:
    with pytest.raises(StoreError, match="max-request-bytes") as refused:
        await store.put("a", b"x" * 2_000_000)
    assert not isinstance(refused.value, StoreUnavailable)


async def test_an_answer_that_is_lost_makes_no_false_conflict(etcd: Etcd) -> None:
    async with (
        Relay(etcd.client_port) as relay,
        started(EtcdStore(replace(etcd.settings, endpoints=(relay.endpoint,), attempt_seconds=20))) as store,
    ):

        def now() -> int:
            return int(etcd.json("get", PREFIX + "a")["header"]["revision"])

        first = await store.put("a", b"1")
        relay.deaf = True
        writing = asyncio.create_task(store.put("a", b"2", expected=first.version))
        await eventually(lambda: now() > first.version, within=DEADLINE_SECONDS, what="the write")
        relay.deaf = False
        await relay.cut()
        second = await writing
        assert second == Entry("a", b"2", first.version + 1)
        assert await store.get("a") == second

        relay.deaf = True
        deleting = asyncio.create_task(store.delete("a", expected=second.version))
        await eventually(lambda: now() > second.version, within=DEADLINE_SECONDS, what="the delete")
        relay.deaf = False
        await relay.cut()
        assert await deleting == second.version + 1
        assert now() == second.version + 1

        relay.deaf = True
        writing = asyncio.create_task(store.put("a", b"3", expected=0, provided={"other": 0}))
        await eventually(lambda: now() > second.version + 1, within=DEADLINE_SECONDS, what="the write")
        etcd.ctl("put", PREFIX + "other", "not absent any more")
        relay.deaf = False
        await relay.cut()
        assert await writing == Entry("a", b"3", second.version + 2)


async def test_an_answer_that_is_lost_hides_no_true_conflict(etcd: Etcd) -> None:
    async with (
        Relay(etcd.client_port) as relay,
        started(EtcdStore(replace(etcd.settings, endpoints=(relay.endpoint,), attempt_seconds=20))) as store,
    ):
        first = await store.put("a", b"1")
        relay.deaf = True
        writing = asyncio.create_task(store.put("a", b"2", expected=first.version))
        await eventually(
            lambda: etcd.ctl("get", "--print-value-only", PREFIX + "a") == "2\n",
            within=DEADLINE_SECONDS,
            what="the write",
        )
        revision = etcd.json("put", PREFIX + "a", "theirs")["header"]["revision"]
        relay.deaf = False
        await relay.cut()
        with pytest.raises(EntryConflict) as conflict:
            await writing
        assert conflict.value.present == revision


async def test_a_delete_of_what_somebody_removed_meanwhile_finds_nothing(etcd: Etcd, store: EtcdStore) -> None:
    entry = await store.put("a", b"1")
    etcd.ctl("del", PREFIX + "a")
    with pytest.raises(EntryMissing):
        await store.delete("a", expected=entry.version)


async def test_the_epoch_lies_in_etcd_and_a_new_one_ends_the_watch(etcd: Etcd, store: EtcdStore) -> None:
    epoch = await store.epoch()
    assert etcd.ctl("get", "--print-value-only", "/hfi/epoch").strip() == epoch.split(".")[0]
    async with started(EtcdStore(etcd.settings)) as other:
        assert await other.epoch() == epoch
    revision = (await store.list()).revision
    async with Follower(store, revision) as follower:
        await follower.heartbeat()
        etcd.ctl("del", "/hfi/epoch")
        etcd.kill()
        etcd.start()
        with pytest.raises(WatchCompacted):
            await follower.ended()
    assert await store.epoch() != epoch


async def test_an_etcd_restored_from_a_backup_is_noticed_and_named_anew(etcd: Etcd, store: EtcdStore) -> None:
    backup = etcd.directory / "backup.db"
    await store.put("a", b"old")
    epoch = await store.epoch()
    etcd.ctl("snapshot", "save", str(backup))
    for number in range(10):
        newest = await store.put("a", str(number).encode())
    async with Follower(store, newest.version) as follower:
        await follower.heartbeat()
        etcd.restore(backup)
        with pytest.raises(WatchCompacted):
            await follower.ended()
    assert await store.epoch() != epoch
    listing = await store.list()
    assert [entry.value for entry in listing.entries] == [b"old"]
    async with Follower(store, listing.revision) as follower:
        again = await store.put("a", b"new")
        assert [change.entry for change in await follower.count(1)] == [again]


async def test_writes_while_a_watch_is_being_begun_are_no_backup(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may be answered sooner than what was asked before it: the older answer is no sign of an older etcd."""
    entry = await store.put("a", b"1")
    epoch = await store.epoch()
    asked, came, slow = store._client.range, asyncio.Event(), asyncio.Event()

    async def answered_late(*args: Any, **options: Any) -> Range:
        answer = await asked(*args, **options)
        came.set()
        await slow.wait()
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(store._client, "range", answered_late)
        async with Follower(store, entry.version) as follower, asyncio.timeout(DEADLINE_SECONDS):
            await came.wait()
            patch.undo()
            later = [await store.put("a", str(number).encode()) for number in range(3)]
            slow.set()
            assert [change.entry for change in await follower.count(3)] == later
    assert await store.epoch() == epoch


async def test_another_etcd_in_the_same_place_ends_the_watch(etcd: Etcd, etcd_factory: EtcdFactory) -> None:
    """Its revisions are no less than those of the first, so that only the epoch tells them apart."""
    async with (
        Relay(etcd.client_port) as relay,
        started(EtcdStore(replace(etcd.settings, endpoints=(relay.endpoint,)))) as store,
    ):
        await store.epoch()
        listing = await store.list()
        async with Follower(store, listing.revision) as follower:
            await follower.heartbeat()
            other = etcd_factory()
            other.start()
            for number in range(5):
                other.ctl("put", f"/x{number}", "x")
            relay.target = other.client_port
            await relay.cut()
            with pytest.raises(WatchCompacted):
                await follower.ended()


async def test_closing_while_requests_are_under_way_ends_them(etcd: Etcd) -> None:
    store = EtcdStore(etcd.settings)
    await store.start()
    await store.list()
    etcd.freeze()
    asking = [asyncio.create_task(store.get("a")) for _ in range(5)]
    await eventually_async(lambda: asyncio.sleep(0, all(not task.done() for task in asking)))
    await store.close()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 5


async def test_what_is_not_started_says_so(etcd: Etcd) -> None:
    store = EtcdStore(etcd.settings)
    with pytest.raises(StoreUnavailable, match="not started"):
        await store.list()
    async with Follower(store, 0) as follower:
        with pytest.raises(StoreUnavailable, match="not started"):
            await follower.ended()
