"""What only a real etcd can show of a tenancy: time that runs out, and answers that are lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hfi_core.errors import StoreUnavailable, TenancyLost
from hfi_core.store.etcd import EtcdStore
from tests.integration.store_support import DEADLINE_SECONDS, started
from tests.support.etcd import Etcd
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.etcd


@pytest.fixture
async def room(etcd: Etcd) -> AsyncIterator[EtcdStore]:
    async with started(EtcdStore(etcd.settings.beside("status"))) as store:
        yield store


async def keys(room: EtcdStore) -> list[str]:
    return [entry.key for entry in (await room.list()).entries]


async def test_what_is_not_renewed_goes_and_is_written_anew(room: EtcdStore) -> None:
    tenant, renewed = room.tenancy("a", 1), room.tenancy("b", 1)
    await tenant.write(b"1", {"a/x": b"x"}, ())
    await renewed.write(b"1", {"b/x": b"x"}, ())

    async def gone() -> bool:
        await renewed.renew()
        return await keys(room) == ["b", "b/x"]

    await eventually_async(gone, within=DEADLINE_SECONDS, what="the end of what is not renewed")
    with pytest.raises(TenancyLost):
        await tenant.renew()
    await tenant.renew()  # There is nothing to renew, and nothing to lose.
    await tenant.write(b"2", {"a/x": b"x"}, ())
    assert await keys(room) == ["a", "a/x", "b", "b/x"]


async def test_a_write_finds_out_that_the_lease_is_gone(room: EtcdStore, etcd: Etcd) -> None:
    tenant = room.tenancy("a", 60)
    await tenant.write(b"1", {"a/x": b"x"}, ())
    [lease] = [line for line in etcd.ctl("lease", "list").splitlines() if "found" not in line]
    etcd.ctl("lease", "revoke", lease)
    with pytest.raises(TenancyLost):
        await tenant.write(b"2", {"a/x": b"y"}, ())
    assert await keys(room) == []
    await tenant.write(b"3", {"a/x": b"y"}, ())
    assert await keys(room) == ["a", "a/x"]


async def test_a_write_whose_answer_was_lost_is_known_for_ones_own(room: EtcdStore, etcd: Etcd) -> None:
    tenant = room.tenancy("a", 60)
    await tenant.write(b"1", {}, ())
    etcd.freeze()
    with pytest.raises(StoreUnavailable):
        await tenant.write(b"2", {"a/x": b"x"}, ())  # It lies in etcd's socket, and is carried out later.
    etcd.thaw()
    await tenant.write(b"3", {"a/x": b"y"}, ())
    found = {entry.key: entry.value for entry in (await room.list()).entries}
    assert found == {"a": b"3", "a/x": b"y"}


async def test_more_than_etcd_takes_at_once_is_not_asked_of_it(room: EtcdStore) -> None:
    from hfi_core.store.tenancy import MAX_KEYS

    tenant = room.tenancy("a", 60)
    await tenant.write(b"1", {f"a/{number}": b"x" for number in range(MAX_KEYS)}, ())
    assert len(await keys(room)) == MAX_KEYS + 1
