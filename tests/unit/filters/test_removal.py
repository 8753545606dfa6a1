from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest

from hfi_core.errors import ModuleConflict, ModuleInUse, ModuleNotFound, StoreError, StoreUnavailable
from hfi_core.filters.catalogue import PIECE_BYTES, ModuleCatalogue, Pushed
from hfi_core.filters.rollout import RolloutDocument
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import MANIFESTS, ROLLOUT, FilterState
from hfi_core.following import Follower
from hfi_core.modules.inspection import Inspection
from hfi_core.store.memory import MemoryStore
from tests.support.interleavings import InTurn, Scene, Turn, explore

FOUND = Inspection("0.2.1")
ONE, TWO = b"one", b"two"


class Flaky(MemoryStore):
    """Away after so many deletes."""

    deletes = 100

    async def delete(self, key: str, **how: Any) -> int:
        if self.deletes == 0:
            raise StoreUnavailable("away")
        self.deletes -= 1
        return await super().delete(key, **how)


class Place:
    """The catalogue and the rollout, over two stores."""

    def __init__(self) -> None:
        self.manifests, self.pieces = MemoryStore(), Flaky()

    def catalogue(self, turn: Turn | None = None) -> ModuleCatalogue:
        if turn is None:
            return ModuleCatalogue(self.manifests, self.pieces, lambda code: FOUND)
        return ModuleCatalogue(InTurn(self.manifests, turn), InTurn(self.pieces, turn))

    def rollouts(self, turn: Turn | None = None) -> RolloutService:
        service = RolloutService(self.manifests if turn is None else InTurn(self.manifests, turn), Shown())
        return service

    async def push(self, version: str, code: bytes) -> None:
        await self.catalogue().push(version, code)

    async def state(self) -> FilterState:
        return FilterState.listed(await self.manifests.list())

    async def stable(self, version: str, code: bytes) -> None:
        await self.rollouts().begin((await self.catalogue().push(version, code)).manifest)

    async def whole(self) -> FilterState:
        """The state, and that each module in it can be read, and all that nodes are to run is in it."""
        state = await self.state()
        for manifest in state.modules.values():
            assert hashlib.sha256(await self.catalogue().code(manifest)).hexdigest() == manifest.digest
        if state.document is not None:
            active = state.document.active
            for runs in [state.document.stable, *([active.candidate] if active is not None else [])]:
                assert state.modules[runs.version].digest == runs.digest
        return state


class Shown(Follower[FilterState]):
    """Of a replica that shows everything at once."""

    def __init__(self) -> None:
        super().__init__("filters", MemoryStore(), FilterState.of)

    async def seen(self, revision: int) -> None:
        pass


@pytest.fixture
def place() -> Place:
    return Place()


async def keys(store: MemoryStore) -> list[str]:
    return [entry.key for entry in (await store.list()).entries]


async def test_what_is_deleted_is_gone_with_its_pieces_and_can_be_pushed_anew(place: Place) -> None:
    code = bytes(PIECE_BYTES) + b"x"
    await place.push("1", code)
    await place.push("2", TWO)
    manifest, revision = await place.catalogue().delete("1")
    assert (manifest.version, manifest.digest) == ("1", hashlib.sha256(code).hexdigest())
    assert (await place.manifests.list()).revision == revision
    assert list((await place.whole()).modules) == ["2"]
    assert not [key for key in await keys(place.pieces) if key.startswith(manifest.digest)]
    assert (await place.catalogue().push("1", ONE)).created
    assert (await place.catalogue().push("3", code)).created
    assert sorted((await place.whole()).modules) == ["1", "2", "3"]


async def test_what_nodes_run_or_are_to_run_is_refused(place: Place) -> None:
    await place.stable("1", ONE)
    await place.push("2", TWO)
    rollouts, delete = place.rollouts(), place.catalogue().delete
    with pytest.raises(ModuleInUse, match=r"module 1 is the stable one, which proxies run; once a rollout"):
        await delete("1")
    await rollouts.start("2", share=10)
    with pytest.raises(ModuleInUse, match=r"2 is the candidate of the rollout that is running at 10%; once that is"):
        await delete("2")
    await rollouts.pause()
    with pytest.raises(ModuleInUse, match="that is paused at 10%"):
        await delete("2")
    await rollouts.roll_back("operator", "no")
    with pytest.raises(ModuleInUse):
        await delete("1")
    await rollouts.start("2", share=100)
    await rollouts.advance(unwatched=True)
    with pytest.raises(ModuleInUse, match="2 is the stable one"):
        await delete("2")
    await delete("1")
    assert list((await place.whole()).modules) == ["2"]
    with pytest.raises(ModuleNotFound):
        await rollouts.start("1", share=10)


async def test_the_candidate_of_a_rollout_that_is_over_is_in_nobodys_way(place: Place) -> None:
    await place.stable("1", ONE)
    await place.push("2", TWO)
    await place.rollouts().start("2", share=10)
    await place.rollouts().roll_back("operator", "no")
    await place.catalogue().delete("2")
    assert list((await place.whole()).modules) == ["1"]


async def test_each_refusal_changes_nothing(place: Place) -> None:
    await place.push("1", ONE)
    digest = hashlib.sha256(ONE).hexdigest()
    before = ((await place.manifests.list()).revision, await keys(place.pieces))
    with pytest.raises(ModuleNotFound):
        await place.catalogue().delete("2")
    with pytest.raises(ModuleConflict, match=f"has the digest {digest}"):
        await place.catalogue().delete("1", digests={"0" * 64})
    await place.manifests.put(ROLLOUT, b"{}")
    with pytest.raises(StoreError, match="cannot be read, so none is deleted"):
        await place.catalogue().delete("1")
    await place.manifests.delete(ROLLOUT)
    assert ((await place.manifests.list()).revision - 2, await keys(place.pieces)) == before
    await place.catalogue().delete("1", digests={"0" * 64, digest})
    assert not (await place.state()).modules


async def test_a_store_that_goes_away_after_the_manifest_leaves_pieces_that_nobody_sees(place: Place) -> None:
    await place.push("1", bytes(3 * PIECE_BYTES))
    place.pieces.deletes = 1
    await place.catalogue().delete("1")
    assert not (await place.whole()).modules
    assert len(await keys(place.pieces)) == 2
    assert (await place.catalogue().push("2", bytes(3 * PIECE_BYTES))).created
    assert list((await place.whole()).modules) == ["2"]


async def test_pieces_that_another_version_has_as_well_stay(place: Place) -> None:
    await place.push("1", ONE)
    manifest = (await place.state()).modules["1"]
    # Pushed at the same moment as "1": neither saw the other.
    await place.manifests.put(MANIFESTS + "2", manifest.model_copy(update={"version": "2"}).encode())
    await place.catalogue().delete("1")
    assert list((await place.whole()).modules) == ["2"]
    await place.catalogue().delete("2")
    assert await keys(place.pieces) == []


async def test_what_the_store_has_as_a_manifest_and_cannot_be_read_is_not_replaced(place: Place) -> None:
    await place.manifests.put(MANIFESTS + "1", b"{}")
    async with asyncio.timeout(5):
        with pytest.raises(ModuleConflict, match="cannot be read, so it is not replaced"):
            await place.push("1", ONE)


# -- races ---------------------------------------------------------------------------------------------------


def delete(place: Place, version: str) -> Any:
    return lambda turn: place.catalogue(turn).delete(version)


def push(place: Place, version: str, code: bytes) -> Any:
    return lambda turn: place.catalogue(turn).push(version, code, known_as=FOUND)


def start(place: Place, version: str) -> Any:
    return lambda turn: place.rollouts(turn).start(version, share=10)


def names(results: Sequence[Any]) -> list[str]:
    return [type(result).__name__ for result in results]


async def test_a_rollout_that_starts_while_its_module_is_deleted_finds_it_or_does_not_start() -> None:
    outcomes: set[tuple[str, ...]] = set()

    async def scene() -> Scene:
        place = Place()
        await place.stable("1", ONE)
        await place.push("2", TWO)

        async def check(results: Sequence[Any]) -> None:
            await place.whole()
            outcomes.add(tuple(names(results)))

        return Scene([delete(place, "2"), start(place, "2")], check)

    assert await explore(scene) > 10
    assert outcomes == {("tuple", "ModuleNotFound"), ("ModuleInUse", "RolloutDocument")}


async def test_a_first_start_whose_module_is_deleted_meanwhile_makes_nothing_stable_that_is_gone() -> None:
    async def scene() -> Scene:
        place = Place()
        manifest = (await place.catalogue().push("1", ONE)).manifest

        async def check(results: Sequence[Any]) -> None:
            state = await place.whole()
            assert (state.document is None) == (not state.modules)

        return Scene([delete(place, "1"), lambda turn: place.rollouts(turn).begin(manifest)], check)

    assert await explore(scene) > 10


@pytest.mark.parametrize("again", ["1", "2"])
async def test_who_pushes_the_bytes_that_are_deleted_just_now_has_a_whole_module(again: str) -> None:
    outcomes: set[tuple[str, ...]] = set()

    async def scene() -> Scene:
        place = Place()
        await place.push("1", ONE)

        async def check(results: Sequence[Any]) -> None:
            state = await place.whole()
            deleted, pushed = results
            assert isinstance(deleted, tuple)
            # What was pushed is there, unless it was there before and is what was deleted.
            if isinstance(pushed, Pushed) and pushed.created:
                assert list(state.modules) == [again]
            else:
                assert not state.modules
                assert await keys(place.pieces) == []
            outcomes.add((type(pushed).__name__, str(isinstance(pushed, Pushed) and pushed.created)))

        return Scene([delete(place, "1"), push(place, again, ONE)], check)

    assert await explore(scene) > 10
    assert ("Pushed", "True") in outcomes
    assert len(outcomes) == 2


async def test_two_who_push_and_one_who_deletes_the_same_bytes() -> None:
    async def scene() -> Scene:
        place = Place()

        async def check(results: Sequence[Any]) -> None:
            await place.whole()

        return Scene([delete(place, "1"), push(place, "1", ONE), push(place, "2", ONE)], check)

    assert await explore(scene) > 100


async def test_of_two_who_delete_one_module_or_both_halves_of_a_pair_nothing_is_left() -> None:
    async def scene() -> Scene:
        place = Place()
        await place.push("1", ONE)
        manifest = (await place.state()).modules["1"]
        await place.manifests.put(MANIFESTS + "2", manifest.model_copy(update={"version": "2"}).encode())

        async def check(results: Sequence[Any]) -> None:
            assert names(results) == ["tuple", "tuple"]
            assert await keys(place.pieces) == []

        return Scene([delete(place, "1"), delete(place, "2")], check)

    assert await explore(scene) > 100

    async def same() -> Scene:
        place = Place()
        await place.push("1", ONE)

        async def check(results: Sequence[Any]) -> None:
            assert sorted(names(results)) == ["ModuleNotFound", "tuple"]
            assert await keys(place.pieces) == []

        return Scene([delete(place, "1"), delete(place, "1")], check)

    assert await explore(same) > 10


async def test_a_document_of_the_time_before_is_no_reason_to_delete() -> None:
    """Somebody completes a rollout while the module that becomes stable is being deleted."""

    async def scene() -> Scene:
        place = Place()
        await place.stable("1", ONE)
        await place.push("2", TWO)
        await place.rollouts().start("2", share=100)

        async def check(results: Sequence[Any]) -> None:
            state = await place.whole()
            assert state.document is not None
            assert state.document.stable.version in state.modules

        async def advance(turn: Turn) -> RolloutDocument:
            return await place.rollouts(turn).advance(unwatched=True)

        return Scene([advance, delete(place, "1"), delete(place, "2")], check)

    assert await explore(scene) > 10
