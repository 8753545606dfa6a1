"""What the other tests stand on: bodies of every kind go through a proxy that injects nothing, by either protocol."""

from __future__ import annotations

import hashlib

import pytest

from tests.e2e.ring import Ring, assert_passed
from tests.support.reply import body_of, wanted
from tests.support.traffic import Wire

MEGABYTES = 5_000_000


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("length", [0, 1, 1000, MEGABYTES])
async def test_an_answer_arrives_as_it_was_asked_for(ring: Ring, wire: Wire, length: int, chunked: bool) -> None:
    asked = wanted(length=length, chunked=chunked, status=418, headers={"x-more": "1"})
    answer = await ring.ask(headers=[asked], wire=wire)
    assert (answer.status, answer.header("x-more")) == (418, "1")
    assert answer.body == body_of(length)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
async def test_an_answer_without_a_body_has_none(ring: Ring, wire: Wire, method: str, status: int) -> None:
    answer = await ring.ask(method=method, headers=[wanted(status=status, length=100)], wire=wire)
    assert (answer.status, answer.body) == (status, b"")


async def test_an_upload_arrives_whole(ring: Ring, wire: Wire) -> None:
    body = body_of(MEGABYTES)
    assert_passed(await ring.ask(method="POST", body=body, wire=wire))
    [seen] = ring.reached
    assert (seen.length, seen.sha256) == (len(body), hashlib.sha256(body).hexdigest())
