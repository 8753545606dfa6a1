from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence

import pytest

from hfi_core.address import Address
from hfi_core.sidecars.model import NOTHING, Sidecar, Wish
from hfi_core.snapshot import NodeIdentity
from hfi_xds.messages import Hello
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.sidecar_resources import TYPES
from hfi_xds.sidecar_source import MAX_BASES, SidecarSource
from tests.support.waiting import eventually
from tests.unit.xds.talk import of

HERE = Address("127.0.0.1", 1)
BASE = ResourceSnapshot.of(*of(hfi="filter"))


def wish(port: int) -> Wish:
    return Wish(HERE, (Address("127.0.0.1", port),))


def hello(cluster: str = "checkout", own: Wish = NOTHING) -> Hello:
    return Hello(NodeIdentity.of("n", cluster), wish=own)


def build(sidecar: Sidecar) -> Sequence[Resource]:
    return [Resource.of(CLUSTER, "upstream", str(sidecar.upstream[0].port).encode())]


async def made(source: SidecarSource, who: Hello, base: ResourceSnapshot = BASE) -> ResourceSnapshot:
    """What it is served as soon as that is made."""
    wake = asyncio.Event()
    with source.following(wake.set):
        while (found := source.add_to(base, who)) is base:
            await asyncio.wait_for(wake.wait(), 10)
            wake.clear()
    return found


def upstream(snapshot: ResourceSnapshot) -> str:
    return snapshot.of_type(CLUSTER)["upstream"].body.decode()


async def test_before_the_documents_are_read_nothing_is_said() -> None:
    source = SidecarSource(build, debounce_seconds=0)
    assert source.add_to(BASE, hello(own=wish(5))) is BASE


async def test_a_node_gets_what_its_cluster_is_to_be_beside_what_all_get() -> None:
    source = SidecarSource(build, debounce_seconds=0)
    source.publish({"checkout": wish(5)})
    found = await made(source, hello())
    assert upstream(found) == "5"
    assert found.of_type(EXTENSION_CONFIG) == BASE.of_type(EXTENSION_CONFIG)
    assert set(found.types) == {EXTENSION_CONFIG, *TYPES}
    assert source.add_to(BASE, hello()) is found
    # Its own word comes first.
    assert upstream(await made(source, hello(own=wish(6)))) == "6"


async def test_of_whom_nothing_is_known_it_is_known_that_there_is_nothing() -> None:
    source = SidecarSource(build, debounce_seconds=0)
    source.publish({})
    found = source.add_to(BASE, hello())
    assert all(found.types[type_url] == {} for type_url in TYPES)


async def test_a_node_that_misses_something_gets_no_listener_and_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = SidecarSource(build, debounce_seconds=0)
    half = Wish(upstream=wish(5).upstream)
    source.say_what_is_missing(hello())
    assert caplog.text == "", "before the documents are read, nobody knows"
    source.publish({"checkout": half})
    for _ in range(3):
        assert source.add_to(BASE, hello()).of_type(CLUSTER) == {}
        source.say_what_is_missing(hello())
    [record] = caplog.records
    assert "node 'n' gets no listener" in record.getMessage()
    assert "cluster 'checkout' says listen" in record.getMessage()
    assert "hfi-cli bootstrap --minimal --listen" in record.getMessage()
    # Field by field: what it says of itself makes the document whole.
    own = Wish(listen=HERE)
    assert upstream(await made(source, hello(own=own))) == "5"
    source.say_what_is_missing(hello(own=own))
    assert len(caplog.records) == 1
    # And what is missing again later is said again.
    source.publish({})
    source.say_what_is_missing(hello(own=own))
    assert "says upstream" in caplog.records[-1].getMessage()
    # Of a cluster that nobody has said anything of, too.
    source.say_what_is_missing(hello("elsewhere"))
    assert (
        "cluster 'elsewhere' says listen and upstream. Start it with hfi.listen and hfi.upstream in its node's "
        "metadata (hfi-cli bootstrap --minimal --listen --upstream), or apply a document with spec.listen and "
        "spec.upstream"
    ) in caplog.records[-1].getMessage()
    await source.close()


async def test_followers_are_woken_by_a_change_and_by_nothing_else() -> None:
    source, wake = SidecarSource(build, debounce_seconds=0), asyncio.Event()
    with source.following(wake.set):
        source.publish({"checkout": wish(5)})
        assert wake.is_set()
        wake.clear()
        source.publish({"checkout": wish(5)})
        assert not wake.is_set()
        source.publish({"checkout": wish(6)})
        assert wake.is_set()
    assert upstream(await made(source, hello())) == "6"


async def test_a_document_that_cannot_be_read_any_more_counts_on() -> None:
    source = SidecarSource(build, debounce_seconds=0)
    source.publish({"checkout": wish(5)})
    before = await made(source, hello())
    source.publish({}, {"checkout", "billing"})
    assert source.add_to(BASE, hello()) is before
    # Of one that never could be, it is not known what it says: whoever has something keeps it.
    assert source.add_to(BASE, hello("billing")) is BASE
    source.publish({})
    assert source.add_to(BASE, hello()).of_type(CLUSTER) == {}


async def test_while_something_is_made_the_loop_goes_on_and_it_is_made_once() -> None:
    may, calls = threading.Event(), []

    def slow(sidecar: Sidecar) -> Sequence[Resource]:
        calls.append(sidecar)
        assert may.wait(10)
        return build(sidecar)

    source = SidecarSource(slow, debounce_seconds=0)
    source.publish({"checkout": wish(5)})
    assert source.add_to(BASE, hello()) is BASE
    assert source.add_to(BASE, hello()) is BASE
    may.set()
    assert upstream(await made(source, hello())) == "5"
    assert len(calls) == 1
    await source.close()


async def test_a_mistake_of_ours_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(sidecar: Sidecar) -> Sequence[Resource]:
        raise ZeroDivisionError

    source = SidecarSource(wrong)
    source.publish({"checkout": wish(5)})
    with caplog.at_level(logging.ERROR):
        assert source.add_to(BASE, hello()) is BASE
        await eventually(lambda: "cannot be made" in caplog.text, what="words about it")
    assert source.add_to(BASE, hello()) is BASE
    await source.close()


async def test_what_all_got_long_ago_is_not_kept() -> None:
    source = SidecarSource(build, debounce_seconds=0)
    source.publish({"checkout": wish(5)})
    bases = [ResourceSnapshot.of(*of(hfi=str(number))) for number in range(MAX_BASES + 1)]
    first = await made(source, hello(), bases[0])
    assert source.add_to(bases[0], hello()) is first
    for base in bases[1:]:
        source.add_to(base, hello())
    assert source.add_to(bases[0], hello()) is not first


async def test_of_what_changes_while_something_is_made_only_the_newest_is_made() -> None:
    """Else a burst would be made one after the other, and the newest come last of all."""
    may, calls = threading.Semaphore(0), []

    def slow(sidecar: Sidecar) -> Sequence[Resource]:
        calls.append(sidecar.upstream[0].port)
        assert may.acquire(timeout=10)
        return build(sidecar)

    source = SidecarSource(slow, debounce_seconds=0)
    for port in range(1, 100):
        source.publish({"checkout": wish(port)})
        assert source.add_to(BASE, hello()) is BASE
    may.release()
    # What is made is served although it is not the newest: changes without end keep none back.
    assert upstream(await made(source, hello())) == "1"
    may.release()
    await eventually(lambda: upstream(source.add_to(BASE, hello())) == "99", what="the newest")
    assert calls == [1, 99]
    await source.close()


async def test_a_change_goes_out_at_once_and_those_that_follow_it_as_one() -> None:
    source, wake, coalesced = SidecarSource(build, debounce_seconds=0.01), asyncio.Event(), []
    source.count_coalesced(coalesced.append)
    with source.following(wake.set):
        source.publish({"checkout": wish(1)}, changes=1)
        assert wake.is_set(), "the first waits for nothing"
        wake.clear()
        for number in range(2, 100):
            source.publish({"checkout": wish(number)}, changes=number)
        assert not wake.is_set()
        await asyncio.wait_for(wake.wait(), 10)
        assert coalesced == [97]
        assert upstream(await made(source, hello())) == "99"
    await source.close()


async def test_while_changes_come_without_a_pause_they_go_out_less_and_less_often() -> None:
    source, wake, loop = SidecarSource(build, debounce_seconds=0.01), asyncio.Event(), asyncio.get_running_loop()
    with source.following(wake.set):
        source.publish({"checkout": wish(1)})
        began = loop.time()
        for number in range(2, 6):
            wake.clear()
            source.publish({"checkout": wish(number)})
            await asyncio.wait_for(wake.wait(), 10)
        # Timers are late at times, and never early.
        assert loop.time() - began > 0.01 + 0.02 + 0.04 + 0.07
        await eventually(lambda: source._timer is None, what="a pause")
        wake.clear()
        source.publish({"checkout": wish(6)})
        assert wake.is_set(), "after a pause it is as in the beginning"
    await source.close()


async def test_who_has_something_is_woken_when_the_next_is_made_and_not_before() -> None:
    """Two thousand streams that are woken for nothing hold up the making."""
    source, wake = SidecarSource(build, debounce_seconds=0), asyncio.Event()
    source.publish({"checkout": wish(5)})
    await made(source, hello())
    with source.following(wake.set):
        source.publish({"checkout": wish(6)})
        assert not wake.is_set()
        await asyncio.wait_for(wake.wait(), 10)
        assert upstream(source.add_to(BASE, hello())) == "6"
        wake.clear()
        # What need not be made is said at once: the end of one, and one that was there before.
        source.publish({})
        assert wake.is_set()
        assert source.add_to(BASE, hello()).of_type(CLUSTER) == {}
        source.publish({"checkout": wish(6)})
        assert upstream(await made(source, hello())) == "6"
    await source.close()
