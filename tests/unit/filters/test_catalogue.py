from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from hfi_core.errors import ModuleConflict, ModuleRefused, ModuleUnavailable, StoreUnavailable
from hfi_core.filters.catalogue import PIECE_BYTES, ModuleCatalogue
from hfi_core.filters.manifest import MAX_MODULE_BYTES, MAX_NOTE
from hfi_core.filters.state import MANIFESTS, FilterState
from hfi_core.modules.inspection import Inspection
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry


def looked(code: bytes) -> Inspection:
    return Inspection("0.2.1")


class Breaking(MemoryStore):
    """Away after so many writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes = writes

    async def put(self, key: str, value: bytes, **how: Any) -> Entry:
        if self.writes == 0:
            raise StoreUnavailable("away")
        self.writes -= 1
        return await super().put(key, value, **how)


def catalogue(manifests: MemoryStore, pieces: MemoryStore) -> ModuleCatalogue:
    return ModuleCatalogue(manifests, pieces, looked, lambda: 42)


async def state(manifests: MemoryStore) -> FilterState:
    listing = await manifests.list()
    return FilterState.of(listing.entries, listing.revision)


CODE = bytes(range(256)) * 6_000


async def test_what_is_pushed_is_there_in_pieces_and_reads_back() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    modules = catalogue(manifests, pieces)
    pushed = await modules.push("1.4.0", CODE, "a note")
    assert pushed.created
    manifest = (await state(manifests)).modules["1.4.0"]
    assert manifest == pushed.manifest
    assert (manifest.digest, manifest.size) == (hashlib.sha256(CODE).hexdigest(), len(CODE))
    assert (manifest.note, manifest.abi, manifest.pushed_at_ms) == ("a note", "0.2.1", 42)
    listing = await pieces.list()
    assert [entry.key for entry in listing.entries] == list(manifest.pieces)
    assert [len(entry.value) for entry in listing.entries] == [PIECE_BYTES, PIECE_BYTES, len(CODE) - 2 * PIECE_BYTES]
    assert await modules.code(manifest) == CODE


async def test_the_same_again_changes_nothing() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    modules = catalogue(manifests, pieces)
    first = await modules.push("1.4.0", CODE, "a note")
    before = ((await manifests.list()).revision, (await pieces.list()).revision)
    again = await modules.push("1.4.0", CODE, "another note")
    assert (again.created, again.manifest) == (False, first.manifest)
    assert ((await manifests.list()).revision, (await pieces.list()).revision) == before


async def test_a_version_names_one_module_and_a_module_has_one_version() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    modules = catalogue(manifests, pieces)
    await modules.push("1.4.0", CODE)
    with pytest.raises(ModuleConflict, match=r"version 1\.4\.0 is another module already"):
        await modules.push("1.4.0", CODE + b"x")
    with pytest.raises(ModuleConflict, match=r"in the catalogue already, as version 1\.4\.0"):
        await modules.push("1.5.0", CODE)


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_push_that_breaks_off_is_never_seen_and_can_be_repeated(after: int) -> None:
    manifests, pieces = MemoryStore(), Breaking(after)
    with pytest.raises(StoreUnavailable):
        await catalogue(manifests, pieces).push("1.4.0", CODE)
    assert not (await state(manifests)).modules
    pieces.writes = 100
    assert (await catalogue(manifests, pieces).push("1.4.0", CODE)).created
    # What was written the first time as well: somebody may be about to delete it, with what it belonged to.
    assert 100 - pieces.writes == 3


async def test_of_many_that_push_the_same_one_creates_it() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    pushed = await asyncio.gather(*(catalogue(manifests, pieces).push("1.4.0", CODE) for _ in range(5)))
    assert sorted(one.created for one in pushed) == [False] * 4 + [True]
    assert len({one.manifest for one in pushed}) == 1


async def test_of_two_that_push_different_modules_under_one_version_one_is_told() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    results = await asyncio.gather(
        catalogue(manifests, pieces).push("1", CODE),
        catalogue(manifests, pieces).push("1", CODE + b"x"),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["ModuleConflict", "Pushed"]


async def test_code_is_believed_by_its_digest_alone() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    modules = catalogue(manifests, pieces)
    manifest = (await modules.push("1.4.0", CODE)).manifest
    await pieces.put(manifest.pieces[1], bytes(PIECE_BYTES))
    with pytest.raises(ModuleUnavailable, match="has digest"):
        await modules.code(manifest)
    await pieces.delete(manifest.pieces[1])
    with pytest.raises(ModuleUnavailable, match="has lost its piece"):
        await modules.code(manifest)


async def test_what_is_refused_is_written_nowhere() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()

    def no(code: bytes) -> Inspection:
        raise ModuleRefused(["it does not parse"])

    modules = ModuleCatalogue(manifests, pieces, no)
    with pytest.raises(ModuleRefused, match="does not parse"):
        await modules.push("1.4.0", CODE)
    with pytest.raises(ModuleRefused) as refused:
        await modules.push("a/b", bytes(MAX_MODULE_BYTES + 1), "x" * (MAX_NOTE + 1))
    assert len(refused.value.reasons) == 3
    assert not (await manifests.list()).entries
    assert not (await pieces.list()).entries


@pytest.mark.parametrize("version", ["", "rollout", "-1", "1.", "a b", "ä", "1" * 65])
async def test_a_version_stands_in_addresses(version: str) -> None:
    with pytest.raises(ModuleRefused, match="no version of a module"):
        await catalogue(MemoryStore(), MemoryStore()).push(version, CODE)


async def test_a_manifest_that_cannot_be_read_leaves_out_itself_alone() -> None:
    manifests, pieces = MemoryStore(), MemoryStore()
    await catalogue(manifests, pieces).push("1", CODE)
    entry = await manifests.get(MANIFESTS + "1")
    assert entry is not None
    await manifests.put(MANIFESTS + "2", b"{}")
    await manifests.put(MANIFESTS + "3", entry.value)
    await manifests.put("what a newer HFI keeps", b"x")
    found = await state(manifests)
    assert list(found.modules) == ["1"]
    assert sorted(found.broken) == [MANIFESTS + "2", MANIFESTS + "3"]
    await manifests.put(MANIFESTS + "1", entry.value[:-1] + b',"newer":1}')
    assert list((await state(manifests)).modules) == ["1"]
