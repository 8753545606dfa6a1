from __future__ import annotations

import asyncio

from hfi_core.snapshot import NodeIdentity
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.source import ResourceSource
from tests.support.waiting import eventually
from tests.unit.xds.talk import of

NODE = NodeIdentity.of("n1")


def snapshot(content: str) -> ResourceSnapshot:
    return ResourceSnapshot.of(*of(hfi=content))


async def test_the_first_is_served_at_once() -> None:
    """Who starts has been waiting long enough."""
    source, wake = ResourceSource(debounce_seconds=60), asyncio.Event()
    assert source.current is source.for_node(NODE) is None
    with source.following(wake.set):
        source.publish(snapshot("1"))
    assert wake.is_set()
    assert source.current == source.for_node(NODE) == snapshot("1")


async def test_who_waits_for_the_first_has_it() -> None:
    source = ResourceSource(debounce_seconds=0)
    waiting = asyncio.create_task(source.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    source.publish(snapshot("1"))
    await waiting
    await source.ready()


async def test_a_burst_goes_out_as_one() -> None:
    source, served = ResourceSource(snapshot("0"), debounce_seconds=0.01), []
    wake = asyncio.Event()
    with source.following(wake.set):
        for number in range(1, 100):
            source.publish(snapshot(str(number)))
        assert source.current == snapshot("0")
        await eventually(wake.is_set, what="the change")
        wake.clear()
        served.append(source.current)
    assert served == [snapshot("99")]


async def test_an_endless_stream_of_changes_keeps_none_back() -> None:
    source = ResourceSource(snapshot("0"), debounce_seconds=0.02)
    number = 0

    def publish_another() -> bool:
        nonlocal number
        number += 1
        source.publish(snapshot(str(number)))
        return source.current != snapshot("0")

    # A change every few milliseconds, each well within the window of the one before.
    await eventually(publish_another, within=5, what="a change getting through")


async def test_what_is_urgent_does_not_wait_and_takes_what_waits_with_it() -> None:
    source, wake = ResourceSource(snapshot("0"), debounce_seconds=0.01), asyncio.Event()
    with source.following(wake.set):
        source.publish(snapshot("1"))
        source.publish(snapshot("2"), urgent=True)
        assert source.current == snapshot("2")
        wake.clear()
        # The window that was open is closed: nothing comes of it.
        source.publish(snapshot("3"))
        await eventually(wake.is_set, what="the next change")
        assert source.current == snapshot("3")


async def test_without_a_debounce_nothing_waits() -> None:
    source = ResourceSource(snapshot("0"), debounce_seconds=0)
    source.publish(snapshot("1"))
    assert source.current == snapshot("1")


async def test_what_is_equal_is_nothing_new() -> None:
    source, wake = ResourceSource(snapshot("0"), debounce_seconds=0), asyncio.Event()
    with source.following(wake.set):
        source.publish(snapshot("0"))
        assert not wake.is_set()


async def test_a_change_that_is_taken_back_in_time_is_nothing_new() -> None:
    source, wake = ResourceSource(snapshot("0"), debounce_seconds=60), asyncio.Event()
    with source.following(wake.set):
        source.publish(snapshot("1"))
        source.publish(snapshot("0"), urgent=True)
    assert not wake.is_set()


async def test_everybody_who_follows_is_woken_and_nobody_else() -> None:
    source = ResourceSource(snapshot("0"), debounce_seconds=0)
    wakes = [asyncio.Event() for _ in range(3)]
    with source.following(wakes[0].set), source.following(wakes[1].set):
        with source.following(wakes[2].set):
            pass
        source.publish(snapshot("1"))
    assert [wake.is_set() for wake in wakes] == [True, True, False]
