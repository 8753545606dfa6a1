"""The pump around a watch, against a member that says what a test tells it to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import grpc
import pytest

from hfi_core.errors import StoreDenied
from hfi_core.store.etcd_client import EtcdClient, WatchNews
from hfi_core.store.pb import etcd_pb2 as pb
from hfi_core.store.settings import EtcdSettings
from tests.support.waiting import eventually
from tests.unit.store.scripted import Context, Scripted, scripted

Requests = AsyncIterator[pb.WatchRequest]
Responses = AsyncIterator[pb.WatchResponse]


@pytest.fixture
async def member() -> AsyncIterator[Scripted]:
    async with scripted() as ready:
        yield ready


@contextlib.asynccontextmanager
async def watching(settings: EtcdSettings) -> AsyncIterator[AsyncGenerator[WatchNews, None]]:
    client = EtcdClient(settings)
    await client.connect()

    async def check(seen: int) -> None:
        await client.range(b"k")

    try:
        async with contextlib.aclosing(client.watch(b"a", b"b", 10, check)) as news:
            yield news
    finally:
        await client.close()


async def following(news: AsyncGenerator[WatchNews, None]) -> WatchNews:
    async with asyncio.timeout(10):
        return await anext(news)


def event(revision: int) -> pb.WatchResponse:
    return pb.WatchResponse(
        header=pb.ResponseHeader(revision=99), events=[pb.Event(kv=pb.KeyValue(key=b"k", mod_revision=revision))]
    )


async def test_a_quiet_member_is_asked_and_its_answer_is_a_sign_of_life(member: Scripted) -> None:
    async with watching(member.settings) as news:
        for _ in range(3):
            assert await following(news) == WatchNews((), 10)
    assert member.watches == 1


@pytest.mark.parametrize("answers", [0, 1])
async def test_a_member_that_says_nothing_any_more_is_left(member: Scripted, answers: int) -> None:
    """Not even that the watch is made; or that, and then no answer to the question."""
    asked: list[str | None] = []

    async def silent(requests: Requests, context: Context) -> Responses:
        async for request in requests:
            if member.watches == 2:
                yield event(11)
            asked.append(request.WhichOneof("request_union"))
            if len(asked) <= answers:
                yield pb.WatchResponse(created=True)

    member.on_watch = silent
    async with watching(member.settings) as news:
        assert (await following(news)).revision == 11
    assert asked[: answers + 1] == ["create_request", "progress_request"][: answers + 1]
    assert member.watches == 2


async def test_each_connection_resumes_behind_what_was_handed_over(member: Scripted) -> None:
    """Half a response's fragments, an end without a word, an error, a cancelled watch: nothing lost or twice."""
    starts: list[int] = []

    async def broken(requests: Requests, context: Context) -> Responses:
        create = (await anext(requests)).create_request
        starts.append(create.start_revision)
        yield pb.WatchResponse(created=True)
        if member.watches == 1:
            yield event(11)
            half = event(12)
            half.fragment = True
            yield half
        elif member.watches == 2:
            yield event(12)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: leader changed")
        elif member.watches == 3:
            yield event(13)
            yield pb.WatchResponse(canceled=True, cancel_reason="etcdserver: no leader")
        else:
            yield event(14)
            async for _ in requests:
                pass

    member.on_watch = broken
    async with watching(member.settings) as news:
        revisions = [(await following(news)).changes[0].revision for _ in range(4)]
    assert revisions == [11, 12, 13, 14]
    assert starts == [11, 12, 13, 14]


async def test_it_asks_for_a_member_that_has_a_leader_and_carries_the_token(member: Scripted) -> None:
    seen: list[dict[str, object]] = []
    ordinary = member.on_watch

    async def noted(requests: Requests, context: Context) -> Responses:
        seen.append(dict(context.invocation_metadata() or ()))
        async for response in ordinary(requests, context):
            yield response

    member.on_watch = noted
    member.guarded = True
    async with watching(replace(member.settings, user="u", password="p")) as news:
        await following(news)
    assert seen[0]["hasleader"] == "true"
    assert seen[0]["token"] == "token-1"


async def test_a_watch_that_is_refused_logs_in_anew_once_and_then_is_denied(member: Scripted) -> None:
    async def refused(requests: Requests, context: Context) -> Responses:
        await anext(requests)
        yield pb.WatchResponse(created=True, canceled=True, cancel_reason="etcdserver: permission denied")

    member.on_watch = refused
    async with watching(replace(member.settings, user="u", password="p")) as news:
        with pytest.raises(StoreDenied):
            await following(news)
    assert member.logins == 2
    assert member.watches == 2


async def test_a_member_that_is_reached_but_takes_no_login_is_tried_again(member: Scripted) -> None:
    ordinary = member.on_login

    async def hang_once(request: object, context: Context) -> object:
        if member.logins == 2:
            await asyncio.Event().wait()
        return await ordinary(request, context)

    async def forgotten(requests: Requests, context: Context) -> Responses:
        await anext(requests)
        if member.watches == 1:
            yield pb.WatchResponse(created=True, canceled=True, cancel_reason="etcdserver: invalid auth token")
        yield event(11)

    member.on_login = hang_once  # type: ignore[assignment]
    member.on_watch = forgotten
    async with watching(replace(member.settings, user="u", password="p")) as news:
        assert (await following(news)).revision == 11


async def test_the_readers_own_cancellation_stays_one(member: Scripted) -> None:
    async def quiet(requests: Requests, context: Context) -> Responses:
        async for _ in requests:
            yield pb.WatchResponse(created=True)

    member.on_watch = quiet
    async with watching(replace(member.settings, attempt_seconds=60)) as news:
        reading = asyncio.create_task(anext(news))
        await eventually(lambda: member.watches)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_closing_the_client_ends_the_watch_without_an_error(member: Scripted) -> None:
    client = EtcdClient(member.settings)
    await client.connect()

    async def check(seen: int) -> None:
        return None

    async with contextlib.aclosing(client.watch(b"a", b"b", 10, check)) as news:
        await following(news)
        reading = asyncio.create_task(anext(news, None))
        await client.close()
        async with asyncio.timeout(5):
            assert await reading is None


async def test_a_member_that_answers_requests_and_keeps_no_watch_is_left(member: Scripted) -> None:
    async def broken(requests: Requests, context: Context) -> Responses:
        async for _ in requests:
            yield pb.WatchResponse(created=True, canceled=True, cancel_reason="etcdserver: no leader")

    member.on_watch = broken
    async with scripted() as other:
        endpoints = (f"127.0.0.1:{member.port}", f"127.0.0.1:{other.port}")
        async with watching(replace(member.settings, endpoints=endpoints)) as news:
            await following(news)
    assert (member.watches, other.watches) == (1, 1)


async def test_a_quiet_store_is_known_to_be_back_soon_after_it_is(member: Scripted) -> None:
    """And not when the next sign of life is due; what is tried meanwhile is told once."""
    async with watching(replace(member.settings, heartbeat_seconds=60, hung_seconds=90)) as news:
        async with asyncio.timeout(10):
            assert await following(news) == WatchNews((), 10)


async def test_an_outage_is_told_once_and_so_is_its_end(member: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    ordinary = member.on_watch

    async def away(requests: Requests, context: Context) -> Responses:
        if member.watches == 4:
            async for response in ordinary(requests, context):
                yield response
        await context.abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")

    caplog.set_level("INFO")
    member.on_watch = away
    async with watching(member.settings) as news:
        for _ in range(2):
            await following(news)
    told = [record.getMessage() for record in caplog.records if "watch of" in record.getMessage()]
    assert member.watches == 4
    assert len(told) == 2
    assert told[0].startswith("the watch of a in etcd is interrupted: etcd at 127.0.0.1:")
    assert told[1].startswith("the watch of a in etcd goes on, after ")
