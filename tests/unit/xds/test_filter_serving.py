from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest

from hfi_core.errors import StoreUnavailable
from hfi_core.filters import rollout
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.modules.catalogue import FILTER, FilterModule
from hfi_core.modules.filter_config import FilterConfig
from hfi_core.modules.inspection import Inspection
from hfi_core.snapshot import NodeIdentity
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry
from hfi_xds import filter_serving
from hfi_xds.filter_resource import filter_resource
from hfi_xds.filter_serving import FilterServing
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.source import ResourceSource
from tests.support.waiting import eventually

CONFIG = FilterConfig(max_staleness_seconds=60)
NODES = [NodeIdentity.of(f"node-{number}") for number in range(50)]


class Pieces(MemoryStore):
    away = False
    reads = 0

    async def get(self, key: str) -> Entry | None:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("away")
        return await super().get(key)


def expected(code: bytes, generation: int) -> ResourceSnapshot:
    module = FilterModule(FILTER, "", hashlib.sha256(code).hexdigest(), code)
    config = CONFIG.model_copy(update={"generation": generation})
    return ResourceSnapshot.of(filter_resource(module, config))


class Setting:
    def __init__(self) -> None:
        self.manifests, self.pieces = MemoryStore(), Pieces()
        self.catalogue = ModuleCatalogue(self.manifests, self.pieces, lambda code: Inspection("0.2.1"))
        self.filters = Follower("filters", self.manifests, FilterState.of)
        self.rollouts = RolloutService(self.manifests, self.filters)
        self.source = ResourceSource(debounce_seconds=0)
        self.serving = FilterServing(self.filters, self.catalogue, self.source, CONFIG)

    def served(self) -> list[ResourceSnapshot | None]:
        return [self.source.for_node(node) for node in NODES]

    async def serves(self, *wanted: ResourceSnapshot) -> None:
        """Wait until just these are served, to one node or another."""

        def so() -> bool:
            there = self.served()
            return all(one in wanted for one in there) and all(one in there for one in wanted)

        await eventually(so, what="what is served")


@pytest.fixture
async def setting(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    monkeypatch.setattr(filter_serving, "RETRY_SECONDS", 0.01)
    made = Setting()
    tasks = [asyncio.create_task(made.filters.run()), asyncio.create_task(made.serving.run())]
    yield made
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_nothing_is_served_before_there_is_a_stable_module(setting: Setting) -> None:
    assert Setting().serving.trouble == "the filters have not been read yet"
    pushed = await setting.catalogue.push("1", b"one")
    await setting.filters.until(lambda state: "1" in state.modules)
    assert setting.source.current is None
    assert setting.serving.trouble == "the store has no stable filter module yet"
    await setting.rollouts.begin(pushed.manifest)
    await setting.serves(expected(b"one", 1))
    assert setting.serving.trouble is None


async def test_while_none_is_served_it_is_known_why(setting: Setting) -> None:
    pushed = await setting.catalogue.push("1", b"one")
    await setting.manifests.put("rollout", b"{}")

    async def told(words: str) -> None:
        await eventually(lambda: words in (setting.serving.trouble or ""), what=f"{words!r}")

    await told(
        "what the store says of filters cannot be read: rollout: /stable: is required; /generations: is required"
    )
    setting.pieces.away = True
    await setting.manifests.put("rollout", rollout.first(pushed.manifest, 1).encode())
    await told("a filter module cannot be served yet: away")
    setting.pieces.away = False
    await setting.serves(expected(b"one", 1))
    assert setting.serving.trouble is None
    # Once something is served, it goes on.
    await setting.manifests.put("rollout", b"{}")
    await setting.filters.until(lambda state: bool(state.broken))
    assert setting.serving.trouble is None


async def begun(setting: Setting) -> None:
    await setting.rollouts.begin((await setting.catalogue.push("1", b"one")).manifest)
    await setting.catalogue.push("2", b"two")
    await setting.serves(expected(b"one", 1))
    await setting.filters.until(lambda state: "2" in state.modules)


async def test_each_node_has_its_own_and_all_of_it_follows_the_document(setting: Setting) -> None:
    await begun(setting)
    document = await setting.rollouts.start("2", share=30)
    await setting.serves(expected(b"one", 1), expected(b"two", 2))
    by_document = [
        expected(b"two", 2) if document.serves(node).version == "2" else expected(b"one", 1) for node in NODES
    ]
    assert setting.served() == by_document
    await setting.rollouts.roll_back("operator", "no")
    await setting.serves(expected(b"one", 1))
    # The same module once more, and its content differs.
    await setting.rollouts.start("2", share=100)
    await setting.serves(expected(b"two", 3))
    reads = setting.pieces.reads
    await setting.rollouts.advance(unwatched=True)
    await setting.rollouts.start("1", share=50)
    await setting.serves(expected(b"two", 3), expected(b"one", 4))
    # Stable now is what was the candidate: it was not read again.
    assert setting.pieces.reads == reads + 1


async def test_the_version_is_that_of_what_is_served(setting: Setting) -> None:
    await begun(setting)
    document = await setting.rollouts.start("2", share=100)
    assert document.active is not None
    await setting.serves(expected(b"two", 2))
    [resource] = [resource for named in expected(b"two", 2).types.values() for resource in named.values()]
    assert setting.serving.version(document.active.candidate) == resource.version
    ended = await setting.rollouts.roll_back("operator", "no")
    await setting.serves(expected(b"one", 1))
    assert setting.serving.version(document.active.candidate) is None
    assert setting.serving.version(ended.stable) is not None


async def test_a_candidate_that_cannot_be_read_is_not_served_and_tried_again(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(setting)
    setting.pieces.away = True
    await setting.rollouts.start("2", share=100)
    reads = setting.pieces.reads
    await eventually(lambda: setting.pieces.reads > reads + 3, what="several attempts")
    assert caplog.text.count("a filter module cannot be served yet: away") == 1
    assert setting.served() == [expected(b"one", 1)] * len(NODES)
    setting.pieces.away = False
    await setting.serves(expected(b"two", 2))


async def test_a_damaged_candidate_changes_nothing(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    await begun(setting)
    manifest = setting.rollouts.state().modules["2"]
    await setting.pieces.put(manifest.pieces[0], b"broken")
    await setting.rollouts.start("2", share=100)
    await eventually(lambda: "what the store holds has digest" in caplog.text, what="the words")
    assert setting.served() == [expected(b"one", 1)] * len(NODES)
    # The way back is not held up by it.
    await setting.rollouts.roll_back("operator", "no")
    await setting.rollouts.start("2", share=1)


async def test_a_module_that_left_the_catalogue_is_said_to_have(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(setting)
    await setting.rollouts.start("2", share=100)
    await setting.serves(expected(b"two", 2))
    await setting.rollouts.roll_back("operator", "no")
    await setting.serves(expected(b"one", 1))
    document = await setting.rollouts.start("2", share=100)
    await setting.serves(expected(b"two", 3))
    assert document.active is not None
    await setting.manifests.delete("module/2")
    # What is served stays.
    await setting.filters.until(lambda state: "2" not in state.modules)
    assert setting.served() == [expected(b"two", 3)] * len(NODES)
    await setting.rollouts.pause()
    assert setting.served() == [expected(b"two", 3)] * len(NODES)
    assert "is not in the catalogue" not in caplog.text


async def test_a_document_that_cannot_be_read_changes_nothing_and_is_said_once(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(setting)
    document = setting.rollouts.state().document
    assert document is not None
    for number in range(3):
        await setting.manifests.put("rollout", b"{}")
        written = await setting.manifests.put(f"what a newer HFI keeps {number}", b"")
        await setting.filters.reached(written.version)
        await eventually(lambda: "what the store says of filters cannot be read: rollout" in caplog.text, what="words")
    assert caplog.text.count("what the store says of filters cannot be read: rollout") == 1
    assert setting.served() == [expected(b"one", 1)] * len(NODES)
    await setting.catalogue.push("3", b"three")
    await setting.manifests.put("rollout", document.encode())
    await setting.rollouts.start("3", share=100)
    await setting.serves(expected(b"three", 2))


async def test_a_module_that_is_not_in_the_catalogue_is_not_served(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    await begun(setting)
    document = await setting.rollouts.start("2", share=100)
    await setting.serves(expected(b"two", 2))
    await setting.rollouts.roll_back("operator", "no")
    await setting.serves(expected(b"one", 1))
    await setting.manifests.delete("module/2")
    # Somebody writes past all that starts one.
    await setting.manifests.put("rollout", document.encode())
    await eventually(lambda: "a filter module is not in the catalogue: 2" in caplog.text, what="the words")
    assert setting.served() == [expected(b"one", 1)] * len(NODES)


async def test_nothing_is_served_without_the_stable_module(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    pushed = await setting.catalogue.push("1", b"one")
    setting.pieces.away = True
    await setting.rollouts.begin(pushed.manifest)
    await eventually(lambda: "cannot be served yet: away" in caplog.text, what="the words")
    assert setting.source.current is None
    setting.pieces.away = False
    await setting.serves(expected(b"one", 1))
