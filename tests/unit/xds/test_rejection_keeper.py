from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from hfi_core.clock import now_ms
from hfi_core.errors import StoreUnavailable
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry
from hfi_xds import rejection_keeper
from hfi_xds.rejection_keeper import KEPT_MS, RejectionKeeper
from hfi_xds.resource_types import EXTENSION_CONFIG
from tests.support.waiting import eventually

AT = now_ms()
CONTENT = (EXTENSION_CONFIG, "hfi", "v1")


class Store(MemoryStore):
    """Counts writes, keeps their ends, and is away for as long as told."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[int | None] = []
        self.refusals = 0

    async def put(
        self, key: str, value: bytes, *, expected: int | None = None, expires_at_ms: int | None = None
    ) -> Entry:
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("away")
        self.ends.append(expires_at_ms)
        return await super().put(key, value, expected=expected, expires_at_ms=expires_at_ms)


@contextlib.asynccontextmanager
async def keeping(store: MemoryStore) -> AsyncIterator[RejectionKeeper]:
    keeper = RejectionKeeper(store, lambda: AT)
    tasks = [asyncio.create_task(keeper.followed.run()), asyncio.create_task(keeper.run())]
    try:
        async with asyncio.timeout(10):
            await keeper.ready.wait()
        yield keeper
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection_keeper, "RETRY_SECONDS", 0.001)


async def test_a_rejection_is_known_to_every_replica_and_to_one_that_starts() -> None:
    store = Store()
    async with keeping(store) as here, keeping(store) as there:
        here.rejections.add("ns/n1", *CONTENT)
        await eventually(lambda: there.rejections.has("ns/n1", *CONTENT))
        assert not there.rejections.has("n2", *CONTENT)
    async with keeping(store) as restarted:
        assert restarted.rejections.has("ns/n1", *CONTENT), "as soon as it is ready"
    assert store.ends == [AT + KEPT_MS]


async def test_what_is_known_is_not_written_again() -> None:
    store = Store()
    async with keeping(store) as here, keeping(store) as there:
        here.rejections.add("n1", *CONTENT)
        await eventually(lambda: there.rejections.has("n1", *CONTENT))
        there.rejections.add("n1", *CONTENT)
        here.rejections.add("n1", *CONTENT)
        there.rejections.add("n1", EXTENSION_CONFIG, "hfi", "v2")
        await eventually(lambda: here.rejections.has("n1", EXTENSION_CONFIG, "hfi", "v2"))
        assert len(store.ends) == 2


async def test_what_cannot_be_written_now_is_written_later() -> None:
    store = Store()
    async with keeping(store) as here, keeping(store) as there:
        store.refusals = 3
        here.rejections.add("n1", *CONTENT)
        assert here.rejections.has("n1", *CONTENT)
        await eventually(lambda: there.rejections.has("n1", *CONTENT))


async def test_what_cannot_be_read_is_left_out_alone() -> None:
    store = Store()
    for number, value in enumerate((b"\xff", b"[]", b"{}", b'{"node_id": 1, "type_url": 1, "name": 1, "version": 1}')):
        await store.put(f"strange-{number}", value)
    async with keeping(store) as here, keeping(store) as there:
        here.rejections.add("n1", *CONTENT)
        await eventually(lambda: there.rejections.has("n1", *CONTENT))


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(rejection_keeper, "MAX_KEPT", 2)
    store = Store()
    async with keeping(store) as here, keeping(store) as there:
        for node in ("n1", "n2"):
            here.rejections.add(node, *CONTENT)
            await eventually(lambda node=node: there.rejections.has(node, *CONTENT))  # type: ignore[misc]
        for node in ("n3", "n4"):
            there.rejections.add(node, *CONTENT)
        await eventually(lambda: "2 rejections are kept" in caplog.text)
    assert len(store.ends) == 2
