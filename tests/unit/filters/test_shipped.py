from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest

from hfi_core.errors import StoreUnavailable
from hfi_core.filters import shipped
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.shipped import ship
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.modules.catalogue import FILTER, FilterModule
from hfi_core.modules.inspection import Inspection
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Listing


def package(code: bytes, version: str = "0.1.0") -> FilterModule:
    return FilterModule(FILTER, version, hashlib.sha256(code).hexdigest(), code)


class Away(MemoryStore):
    """Cannot be listed so many times."""

    away = 0

    async def list(self, at: int = 0) -> Listing:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return await super().list(at)


class Place:
    """Where modules are kept, and what follows it."""

    def __init__(self) -> None:
        self.manifests = Away()
        self.catalogue = ModuleCatalogue(self.manifests, MemoryStore(), lambda code: Inspection("0.2.1"))
        self.filters = Follower("filters", self.manifests, FilterState.of)
        self.rollouts = RolloutService(self.manifests, self.filters)

    async def start(self, module: FilterModule) -> None:
        async with asyncio.timeout(10):
            await ship(module, self.catalogue, self.rollouts, self.filters)

    async def stable(self) -> str:
        document = (await self.filters.until(lambda state: state.document is not None)).document
        assert document is not None
        return document.stable.version

    async def versions(self) -> dict[str, str]:
        listing = await self.manifests.list()
        modules = FilterState.of(listing.entries, listing.revision).modules
        return {version: manifest.note for version, manifest in modules.items()}


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    following = asyncio.create_task(made.filters.run())
    yield made
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


async def test_the_first_start_pushes_and_makes_it_the_stable_module(place: Place) -> None:
    await place.start(package(b"a"))
    assert await place.stable() == "0.1.0"
    revision = (await place.manifests.list()).revision
    await place.start(package(b"a"))
    assert (await place.manifests.list()).revision == revision
    assert await place.versions() == {"0.1.0": "shipped with HFI"}


async def test_many_replicas_at_once_do_it_once(place: Place) -> None:
    await asyncio.gather(*(place.start(package(b"a")) for _ in range(5)))
    assert list(await place.versions()) == ["0.1.0"]
    # Two writes in all: one manifest and one document.
    assert (await place.manifests.list()).revision == 2


async def test_a_newer_package_brings_its_own_and_changes_nobodys_proxies(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await place.start(package(b"a"))
    await place.start(package(b"b", "0.2.0"))
    assert list(await place.versions()) == ["0.1.0", "0.2.0"]
    assert await place.stable() == "0.1.0"
    assert "hfi-cli filter rollout start --version 0.2.0" in caplog.text


async def test_another_build_of_one_version_is_told_apart(place: Place) -> None:
    await place.start(package(b"a"))
    other = package(b"b")
    for _ in range(2):
        await place.start(other)
        assert list(await place.versions()) == ["0.1.0", f"0.1.0+{other.digest[:12]}"]


async def test_a_module_that_somebody_pushed_under_another_version_is_there(place: Place) -> None:
    await place.catalogue.push("mine", b"a")
    await place.filters.reached(1)
    await place.start(package(b"a"))
    assert (list(await place.versions()), await place.stable()) == (["mine"], "mine")


async def test_a_store_that_is_away_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "RETRY_SECONDS", (0.001, 0.01))
    await place.filters.reached(0)
    place.manifests.away = 3
    await place.start(package(b"a"))
    assert await place.stable() == "0.1.0"


async def test_who_pushes_the_same_bytes_at_that_very_moment_is_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "RETRY_SECONDS", (0.001, 0.01))
    before = await place.filters.reached(0)
    await place.catalogue.push("mine", b"a")
    # This replica has not seen that yet.
    reached, seen = place.filters.reached, [before]

    async def late(revision: int) -> FilterState:
        return seen.pop() if seen else await reached(revision)

    monkeypatch.setattr(place.filters, "reached", late)
    await place.start(package(b"a"))
    assert (list(await place.versions()), await place.stable()) == (["mine"], "mine")


async def test_what_ships_and_was_deleted_is_there_again_after_the_next_start(place: Place) -> None:
    await place.start(package(b"1", "0.1.0"))
    await place.start(package(b"2", "0.2.0"))
    await place.catalogue.delete("0.2.0")
    assert await place.versions() == {"0.1.0": shipped.NOTE}
    await place.filters.until(lambda state: "0.2.0" not in state.modules)
    await place.start(package(b"2", "0.2.0"))
    assert await place.versions() == {"0.1.0": shipped.NOTE, "0.2.0": shipped.NOTE}
    assert await place.stable() == "0.1.0"


async def test_what_is_deleted_before_it_became_the_stable_module_is_pushed_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "RETRY_SECONDS", (0.01, 0.01))
    begin, deletes = place.rollouts.begin, 1

    async def deleted_before(manifest: Manifest) -> None:
        nonlocal deletes
        if deletes:
            deletes -= 1
            await place.catalogue.delete(manifest.version)
        await begin(manifest)

    monkeypatch.setattr(place.rollouts, "begin", deleted_before)
    await place.start(package(b"1", "0.1.0"))
    assert (await place.stable(), list(await place.versions())) == ("0.1.0", ["0.1.0"])
