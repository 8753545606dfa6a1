"""The catalogue in a real etcd, which has limits, and replicas that meet there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from hfi_core.errors import ModuleInUse, RolloutConflict, StoreError
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.manifest import MAX_MODULE_BYTES
from hfi_core.filters.rollout import RolloutDocument
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.shipped import ship
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.modules.catalogue import FILTER, FilterModule, load_module
from hfi_core.modules.inspection import Inspection
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.protocol import Store
from tests.integration.store_support import started
from tests.support.etcd import Etcd

pytestmark = pytest.mark.etcd

ONE = FilterModule(FILTER, "1", hashlib.sha256(b"1").hexdigest(), b"1")


@dataclass
class Replica:
    store: Store
    manifests: Store
    catalogue: ModuleCatalogue
    filters: Follower[FilterState]
    rollouts: RolloutService


@contextlib.asynccontextmanager
async def replica(etcd: Etcd) -> AsyncIterator[Replica]:
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(started(EtcdStore(etcd.settings)))
        manifests, pieces = [
            await stack.enter_async_context(started(store.beside(room))) for room in ("filter", "filter-pieces")
        ]
        filters = Follower("filters", manifests, FilterState.of)
        following = asyncio.create_task(filters.run())
        try:
            catalogue = ModuleCatalogue(manifests, pieces, lambda code: Inspection("0.2.1"))
            yield Replica(store, manifests, catalogue, filters, RolloutService(manifests, filters))
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def showing(one: Replica, document: RolloutDocument) -> FilterState:
    """What a replica sees, when it sees that document."""
    async with asyncio.timeout(20):
        return await one.filters.until(lambda state: state.document == document)


@pytest.mark.parametrize("size", [1, 512 << 10, (512 << 10) + 1, 3_000_000, MAX_MODULE_BYTES])
async def test_a_module_of_any_size_fits(etcd: Etcd, size: int) -> None:
    code = bytes(number % 251 for number in range(1000)) * (size // 1000 + 1)
    async with replica(etcd) as one, replica(etcd) as two:
        pushed = await one.catalogue.push("1.4.0", code[:size])
        state = await two.filters.until(lambda state: "1.4.0" in state.modules)
        assert dict(state.modules) == {"1.4.0": pushed.manifest}
        assert await two.catalogue.code(pushed.manifest) == code[:size]


async def test_a_request_that_etcd_would_not_take_shows_why_there_are_pieces(etcd: Etcd) -> None:
    async with replica(etcd) as one:
        with pytest.raises(StoreError):
            await one.store.put("whole", bytes(3_000_000))


async def test_three_replicas_that_start_at_once_push_what_ships_once(etcd: Etcd) -> None:
    module = load_module(FILTER)
    async with replica(etcd) as a, replica(etcd) as b, replica(etcd) as c:
        await asyncio.gather(*(ship(module, one.catalogue, one.rollouts, one.filters) for one in (a, b, c)))
        manifest = b.rollouts.state().by_digest(module.digest)
        assert manifest is not None
        assert await b.catalogue.code(manifest) == module.code
    # By etcdctl's word: a manifest and a document, each written once, and the bytes in their order.
    written = etcd.json("get", "--prefix", "/hfi/filter/")["kvs"]
    assert [(base64.b64decode(one["key"]).decode(), one["version"]) for one in written] == [
        (f"/hfi/filter/module/{module.version}", 1),
        ("/hfi/filter/rollout", 1),
    ]
    pieces = etcd.json("get", "--prefix", f"/hfi/filter-pieces/{module.digest}/")["kvs"]
    assert b"".join(base64.b64decode(piece["value"]) for piece in pieces) == module.code
    assert all(len(base64.b64decode(piece["value"])) <= 1 << 20 for piece in pieces)


async def test_replicas_agree_about_each_node(etcd: Etcd) -> None:
    nodes = [NodeIdentity.of(f"node-{number}") for number in range(200)]
    async with replica(etcd) as a, replica(etcd) as b:
        await ship(ONE, a.catalogue, a.rollouts, a.filters)
        await a.catalogue.push("2", b"2")
        for change in (a.rollouts.start("2", share=20), b.rollouts.advance(), a.rollouts.advance(70)):
            document = await change
            seen = [await showing(one, document) for one in (a, b)]
            views = [[state.document.serves(node) for node in nodes] for state in seen if state.document is not None]
            assert views[0] == views[1]
            assert {assignment.version for assignment in views[0]} == {"1", "2"}


async def test_of_many_who_would_roll_back_one_does(etcd: Etcd) -> None:
    async with replica(etcd) as a, replica(etcd) as b, replica(etcd) as c:
        await ship(ONE, a.catalogue, a.rollouts, a.filters)
        await a.catalogue.push("2", b"2")
        under_way = (await a.rollouts.start("2", share=20)).active
        results = await asyncio.gather(
            *(
                one.rollouts.roll_back("errors", f"says {name}", only=under_way)
                for one, name in ((a, "a"), (b, "b"), (c, "c"))
            ),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == [
            *("RolloutConflict", "RolloutConflict", "RolloutDocument")
        ]
        document = (await c.filters.until(lambda state: bool(state.document and not state.document.active))).document
        assert document is not None
        assert [event.kind for event in document.events].count("rolled_back") == 1


async def test_of_many_who_start_a_rollout_one_does_and_all_say_which(etcd: Etcd) -> None:
    async with replica(etcd) as a, replica(etcd) as b, replica(etcd) as c:
        await ship(ONE, a.catalogue, a.rollouts, a.filters)
        await a.catalogue.push("2", b"2")
        for attempt in range(1, 6):
            starts = (one.rollouts.start("2", share=share) for one, share in ((a, 10), (b, 20), (c, 30)))
            results = await asyncio.gather(*starts, return_exceptions=True)
            [document] = [result for result in results if isinstance(result, RolloutDocument)]
            assert [type(result) for result in results].count(RolloutConflict) == 2
            assert document.generations == 1 + attempt
            assert all([(await showing(one, document)).document == document for one in (a, b, c)])
            # Of one who goes on and one who goes back at once, the way back is not lost.
            await asyncio.gather(a.rollouts.advance(), b.rollouts.roll_back("operator", "no"), return_exceptions=True)
            state = FilterState.listed(await c.manifests.list())
            assert state.document is not None
            assert state.document.active is None


async def test_a_deleted_module_leaves_nothing_and_is_gone_everywhere(etcd: Etcd) -> None:
    async with replica(etcd) as a, replica(etcd) as b:
        await ship(ONE, a.catalogue, a.rollouts, a.filters)
        await a.catalogue.push("2", bytes(1_000_000))
        await b.filters.until(lambda state: "2" in state.modules)
        with pytest.raises(ModuleInUse):
            await b.catalogue.delete("1")
        _, revision = await b.catalogue.delete("2")
        assert list((await a.filters.reached(revision)).modules) == ["1"]
    assert keys(etcd, "/hfi/filter/") == ["module/1", "removals", "rollout"]
    assert [key.split("/")[0] for key in keys(etcd, "/hfi/filter-pieces/")] == [ONE.digest]


def keys(etcd: Etcd, prefix: str) -> list[str]:
    return [key.removeprefix(prefix) for key in etcd.ctl("get", "--prefix", "--keys-only", prefix).split()]


async def test_a_rollout_and_a_delete_at_once_on_two_replicas_never_both_come_about(etcd: Etcd) -> None:
    outcomes: set[tuple[str, ...]] = set()
    async with replica(etcd) as a, replica(etcd) as b:
        await ship(ONE, a.catalogue, a.rollouts, a.filters)
        for number in range(30):
            await a.catalogue.push("2", b"2")
            first, second = (a, b) if number % 2 else (b, a)
            # Each begins when the other is at another step.
            results = await asyncio.gather(
                after(number % 5, first.catalogue.delete("2")),
                after(number // 5, second.rollouts.start("2", share=10)),
                return_exceptions=True,
            )
            outcomes.add(tuple(type(result).__name__ for result in results))
            state = FilterState.listed(await a.manifests.list())
            assert state.document is not None
            if state.document.active is not None:
                assert await b.catalogue.code(state.modules["2"]) == b"2"
                await a.rollouts.roll_back("operator", "again")
            else:
                assert "2" not in state.modules
    assert outcomes <= {("tuple", "ModuleNotFound"), ("ModuleInUse", "RolloutDocument")}


async def after(steps: int, doing: Coroutine[Any, Any, Any]) -> Any:
    """Somewhat later: an answer of etcd takes a millisecond or two."""
    await asyncio.sleep(steps / 1000)
    return await doing


async def test_who_pushes_what_is_deleted_at_once_has_it_whole(etcd: Etcd) -> None:
    code = bytes(1_200_000)
    async with replica(etcd) as a, replica(etcd) as b, replica(etcd) as c:
        for number in range(20):
            await a.catalogue.push("1", code)
            await asyncio.gather(
                b.catalogue.delete("1"),
                after(2 * number, a.catalogue.push("1", code)),
                after(3 * number, c.catalogue.push("2", code)),
                return_exceptions=True,  # Of two who push the same bytes under two versions one is told so.
            )
            state = FilterState.listed(await a.manifests.list())
            for manifest in state.modules.values():
                assert await c.catalogue.code(manifest) == code
            for version in state.modules:
                await a.catalogue.delete(version)
            assert keys(etcd, "/hfi/filter-pieces/") == []
