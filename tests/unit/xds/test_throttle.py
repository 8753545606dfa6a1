"""Whose turn it is, without streams."""

from __future__ import annotations

import asyncio

from hfi_xds.throttle import Throttle, Turn
from tests.support.waiting import eventually


def turns(throttle: Throttle, count: int) -> list[Turn]:
    """So many, all with news, in this order."""
    made = [throttle.turn() for _ in range(count)]
    for turn in made:
        turn.news()
    return made


def has(made: list[Turn]) -> list[int]:
    """Whose turn it is, by number."""
    return [number for number, turn in enumerate(made) if turn.has_come]


async def waits(turn: Turn) -> bool:
    """Whether it goes on waiting."""
    try:
        async with asyncio.timeout(0):
            await turn.wait()
    except TimeoutError:
        return True
    return False


async def test_turns_come_in_the_order_of_the_news() -> None:
    made = turns(Throttle(2), 5)
    assert has(made) == [0, 1]
    made[1].end()
    assert has(made) == [0, 2]
    made[0].end()
    made[2].end()
    assert has(made) == [3, 4]


async def test_who_has_no_news_has_no_turn() -> None:
    throttle = Throttle(1)
    turn = throttle.turn()
    assert await waits(turn)
    turn.news()
    await turn.wait()
    turn.end()
    assert not turn.has_come
    assert await waits(turn)


async def test_news_during_a_turn_give_one_more_behind_the_others() -> None:
    one, other = turns(Throttle(1), 2)
    one.news()
    one.news()
    one.end()
    assert has([one, other]) == [1]
    other.end()
    assert has([one, other]) == [0]
    one.end()
    assert has([one, other]) == []


async def test_news_while_waiting_are_the_same_turn() -> None:
    one, other = turns(Throttle(1), 2)
    other.news()
    one.end()
    assert other.has_come
    other.end()
    assert not other.has_come


async def test_a_call_needs_no_place() -> None:
    one, other = turns(Throttle(1), 2)
    other.call()
    await other.wait()
    assert has([one, other]) == [0]
    assert await waits(other), "it was called once"
    one.end()
    await other.wait()
    assert other.has_come


async def test_who_waits_is_woken() -> None:
    throttle = Throttle(1)
    turn = throttle.turn()
    for wake in (turn.news, turn.call):
        waiting = asyncio.create_task(turn.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        wake()
        async with asyncio.timeout(10):
            await waiting
        turn.end()


async def test_who_ends_gives_its_place_back_once_and_waits_no_longer() -> None:
    throttle = Throttle(1)
    one, other, third = turns(throttle, 3)
    other.close()
    one.close()
    assert has([one, other, third]) == [2]
    one.close()
    # It may be told still.
    one.news()
    third.end()
    assert has([one, other, third]) == []
    assert has(turns(throttle, 2)) == [0], "there is one place, as in the beginning"


async def test_a_place_that_is_held_too_long_is_free_for_others_and_given_back_once() -> None:
    throttle = Throttle(1, held_seconds=0.01)
    one, other, third = turns(throttle, 3)
    await eventually(lambda: other.has_come, what="the second")
    assert one.has_come, "it is still at it, and does not know"
    await eventually(lambda: third.has_come, what="the third")
    throttle._held_seconds = 60  # From here on nobody is slow.
    # News have it wait for another place only when it is done.
    one.news()
    third.end()
    assert has(turns(throttle, 1)) == [0]
    one.end()
    other.end()
    assert not one.has_come


async def test_a_place_that_is_held_long_is_kept_while_nobody_waits() -> None:
    throttle = Throttle(1, held_seconds=0.01)
    (one,) = turns(throttle, 1)
    passed = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, passed.set)
    await passed.wait()
    (other,) = turns(throttle, 1)
    assert not other.has_come
    await eventually(lambda: other.has_come, what="its turn, as the first has had its time")
    assert one.has_come
