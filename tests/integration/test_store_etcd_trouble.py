"""The store while members of its etcd, or the way to them, are in trouble."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace

import pytest

from hfi_core.errors import StoreUnavailable
from hfi_core.store.embedded_etcd import free_port
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.protocol import Change, Entry
from hfi_core.store.settings import EtcdSettings
from tests.integration.store_support import DEADLINE_SECONDS, Follower, Relay, started
from tests.support.etcd import Etcd
from tests.support.waiting import eventually

pytestmark = pytest.mark.etcd


async def test_an_etcd_that_is_not_there_is_unavailable_in_time_and_found_when_it_comes(etcd: Etcd) -> None:
    etcd.stop()
    async with started(EtcdStore(replace(etcd.settings, request_seconds=1.0))) as store:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{etcd.client_port}"):
            await store.list()
        assert time.monotonic() - began < 5
        async with Follower(store, 1) as follower:
            await eventually(lambda: store._client._caller is not None)
            etcd.start()
            entry = await _until_written(store, "a")
            assert [change.entry for change in await follower.count(1)] == [entry]


async def test_an_endpoint_where_nobody_is_costs_no_request(etcd: Etcd) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    async with started(EtcdStore(replace(etcd.settings, endpoints=(dead, etcd.endpoint)))) as store:
        first = await store.put("a", b"1")
        async with Follower(store, first.version) as follower:
            second = await store.put("a", b"2")
            assert [change.entry for change in await follower.count(1)] == [second]


async def test_a_cluster_that_loses_a_member_loses_no_write_and_no_change(etcd_cluster: list[Etcd]) -> None:
    """The member is the one that the store talks to; killed while a writer writes."""
    settings = _cluster_settings(etcd_cluster)
    async with started(EtcdStore(settings)) as store, started(EtcdStore(settings)) as watching:
        start = (await store.list()).revision
        written: list[Entry] = []

        async def write() -> None:
            for number in range(200):
                written.append(await store.put(f"k{number % 10}", str(number).encode()))

        async with Follower(watching, start) as follower:
            writing = asyncio.create_task(write())
            await eventually(lambda: len(written) > 50, within=DEADLINE_SECONDS)
            etcd_cluster[0].kill()
            async with asyncio.timeout(60):
                await writing
            changes = await follower.count(200)
            assert [change.entry for change in changes] == written
            # And again with the next one, once the first is back.
            etcd_cluster[0].start()
            etcd_cluster[1].stop(signal.SIGTERM)
            last = await _until_written(store, "last")
            assert (await follower.count(201))[-1].entry == last
    assert etcd_cluster[2].ctl("get", "--print-value-only", "/hfi/policies/last") == "x\n"


async def test_without_a_majority_it_is_unavailable_and_back_with_one(etcd_cluster: list[Etcd]) -> None:
    async with started(EtcdStore(replace(_cluster_settings(etcd_cluster), request_seconds=2.0))) as store:
        first = await store.put("a", b"1")
        async with Follower(store, first.version) as follower:
            await follower.heartbeat()
            for member in etcd_cluster[1:]:
                member.kill()
            with pytest.raises(StoreUnavailable):
                await store.put("b", b"1", expected=0)
            etcd_cluster[1].start(wait=False)
            entry = await _until_written(store, "c")
            assert (await _of_key(follower, "c")).entry == entry


async def test_a_watch_leaves_a_member_that_hangs(etcd_cluster: list[Etcd]) -> None:
    """A frozen member keeps its connections and says nothing: neither an error nor the end of the stream."""
    async with started(EtcdStore(_cluster_settings(etcd_cluster))) as store:
        first = await store.put("a", b"1")
        async with Follower(store, first.version) as follower:
            await follower.heartbeat()
            etcd_cluster[0].freeze()
            entry = await _until_written(store, "b")
            assert (await _of_key(follower, "b")).entry == entry
            await follower.heartbeat()
            etcd_cluster[0].thaw()
            last = await store.put("c", b"1")
            assert (await _of_key(follower, "c")).entry == last
        revisions = [change.revision for change in follower.changes]
        assert revisions == sorted(set(revisions))


async def test_an_etcd_that_hangs_is_noticed_and_used_again(etcd: Etcd) -> None:
    async with started(EtcdStore(etcd.settings)) as store:
        first = await store.put("a", b"1")
        async with Follower(store, first.version) as follower:
            await follower.heartbeat()
            etcd.freeze()
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.list()
            assert time.monotonic() - began < etcd.settings.request_seconds + 2
            heard = len(follower.batches)
            etcd.thaw()
            entry = await _until_written(store, "b")
            assert (await _of_key(follower, "b")).entry == entry
            assert not any(batch.changes for batch in follower.batches[1:heard])


async def test_a_watch_whose_line_has_gone_deaf_connects_again(etcd: Etcd) -> None:
    """The connection stands and etcd is well, but nothing comes through: only silence tells."""
    async with (
        Relay(etcd.client_port) as relay,
        started(EtcdStore(replace(etcd.settings, endpoints=(relay.endpoint, etcd.endpoint)))) as store,
    ):
        first = await store.put("a", b"1")
        async with Follower(store, first.version) as follower:
            await follower.heartbeat()
            relay.deaf = True
            etcd.ctl("put", "/hfi/policies/b", "x")
            (change,) = await follower.count(1)
            assert change.key == "b"


async def test_a_line_that_is_slow_can_be_connected_over(etcd: Etcd) -> None:
    """gRPC waits for etcd's first words before a connection counts; that takes a round trip at least."""
    async with Relay(etcd.client_port) as relay:
        relay.delay_seconds = 0.6
        settings = EtcdSettings(endpoints=(relay.endpoint,), attempt_seconds=8, request_seconds=8)
        async with started(EtcdStore(settings)) as store:
            assert (await store.list()).entries == ()


def _cluster_settings(members: list[Etcd]) -> EtcdSettings:
    return replace(members[0].settings, endpoints=tuple(member.endpoint for member in members), request_seconds=8.0)


async def _until_written(store: EtcdStore, key: str) -> Entry:
    """Write as soon as that can be done: while members go and come, an election may take longer than a request."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await store.put(key, b"x")
            except StoreUnavailable:
                continue


async def _of_key(follower: Follower, key: str) -> Change:
    async with asyncio.timeout(60):
        while True:
            found = [change for change in follower.changes if change.key == key]
            if found:
                return found[-1]
            await follower.count(len(follower.changes) + 1)
