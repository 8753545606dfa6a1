"""Attempts, deadlines and logins, against members that say what a test tells them to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc
import pytest
from google.protobuf.message import Message

from hfi_core.errors import StoreDenied, StoreUnavailable
from hfi_core.store.etcd_client import EtcdClient
from hfi_core.store.pb import etcd_pb2 as pb
from hfi_core.store.settings import EtcdSettings
from tests.support.waiting import eventually
from tests.unit.store.scripted import Context, Scripted, scripted

NEVER = 60.0


@pytest.fixture
async def members() -> AsyncIterator[list[Scripted]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(scripted()) for _ in range(3)]


def together(members: list[Scripted], **options: object) -> EtcdSettings:
    endpoints = tuple(f"127.0.0.1:{member.port}" for member in members)
    return replace(members[0].settings, endpoints=endpoints, **options)  # type: ignore[arg-type]


async def connected(settings: EtcdSettings, stack: AsyncExitStack) -> EtcdClient:
    client = EtcdClient(settings)
    await client.connect()
    stack.push_async_callback(client.close)
    return client


async def hang(request: Message, context: Context) -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def abort(code: grpc.StatusCode, details: str) -> object:
    async def answer(request: Message, context: Context) -> Message:
        await context.abort(code, details)
        raise AssertionError

    return answer


async def test_members_are_asked_in_turn_and_the_one_that_answered_is_asked_again(members: list[Scripted]) -> None:
    members[0].on_range = hang
    members[1].on_range = abort(grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader")  # type: ignore[assignment]
    async with AsyncExitStack() as stack:
        client = await connected(together(members), stack)
        for _ in range(3):
            assert (await client.range(b"k")).revision == 10
    assert [member.ranges for member in members] == [1, 1, 3]


async def test_what_no_member_would_answer_otherwise_is_not_asked_again(members: list[Scripted]) -> None:
    members[0].on_range = abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")  # type: ignore[assignment]
    async with AsyncExitStack() as stack:
        client = await connected(together(members), stack)
        with pytest.raises(StoreDenied):
            await client.range(b"k")
    assert [member.ranges for member in members] == [1, 0, 0]


async def test_a_request_ends_in_time_though_nobody_answers(members: list[Scripted]) -> None:
    for member in members:
        member.on_range = hang
    async with AsyncExitStack() as stack:
        client = await connected(together(members), stack)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await client.range(b"k")
        assert time.monotonic() - began < 2.5
    assert [member.ranges for member in members] == [1, 1, 1]


async def test_many_requests_at_once_log_in_once(members: list[Scripted]) -> None:
    (member, *_) = members
    member.guarded = True
    async with AsyncExitStack() as stack:
        client = await connected(replace(member.settings, user="u", password="p"), stack)
        await asyncio.gather(*(client.range(b"k") for _ in range(20)))
        assert member.logins == 1


async def test_a_token_that_is_refused_late_does_not_cost_the_new_one(members: list[Scripted]) -> None:
    """Of two requests with the old token one hears of it only after the other has logged in again."""
    (member, *_) = members
    member.guarded = True
    late = asyncio.Event()
    ordinary = member.on_range

    async def refused_late(request: Message, context: Context) -> Message:
        if request == pb.RangeRequest(key=b"late") and member.ranges <= 3:
            await late.wait()
        return await ordinary(request, context)

    async with AsyncExitStack() as stack:
        client = await connected(replace(member.settings, user="u", password="p", attempt_seconds=10), stack)
        await client.range(b"k")
        member.valid.clear()
        member.on_range = refused_late
        slow = asyncio.create_task(client.range(b"late"))
        await eventually(lambda: member.ranges >= 2)
        await client.range(b"k")
        assert member.logins == 2
        late.set()
        await slow
        assert member.logins == 2


async def test_a_login_that_hangs_holds_nobody_up_beyond_the_requests_time(members: list[Scripted]) -> None:
    """All wait for one login; their deadlines go on meanwhile, and do not add up."""
    (member, *_) = members
    member.on_login = hang
    async with AsyncExitStack() as stack:
        client = await connected(replace(member.settings, user="u", password="p"), stack)
        began = time.monotonic()
        results = await asyncio.gather(*(client.range(b"k") for _ in range(10)), return_exceptions=True)
        assert [type(result) for result in results] == [StoreUnavailable] * 10
        assert time.monotonic() - began < 2.5


async def test_a_login_that_hangs_at_one_member_is_made_at_another(members: list[Scripted]) -> None:
    members[0].on_login = hang
    async with AsyncExitStack() as stack:
        client = await connected(together(members, user="u", password="p"), stack)
        await asyncio.gather(*(client.range(b"k") for _ in range(10)))
    assert members[0].logins == 1
    assert members[1].logins == 1
    assert members[0].ranges == 0


async def test_a_token_that_is_refused_again_and_again_is_denied(members: list[Scripted]) -> None:
    (member, *_) = members
    member.on_range = abort(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")  # type: ignore[assignment]
    async with AsyncExitStack() as stack:
        client = await connected(replace(member.settings, user="u", password="p"), stack)
        with pytest.raises(StoreDenied, match="invalid auth token"):
            await client.range(b"k")
    assert member.logins == 4


async def test_the_callers_own_cancellation_stays_one(members: list[Scripted]) -> None:
    (member, *_) = members
    member.on_range = hang
    async with AsyncExitStack() as stack:
        client = await connected(replace(member.settings, attempt_seconds=NEVER, request_seconds=NEVER), stack)
        asking = asyncio.create_task(client.range(b"k"))
        await eventually(lambda: member.ranges)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_closing_ends_requests_that_wait_for_a_login(members: list[Scripted]) -> None:
    """Those behind the first in the queue come to it after the end; they must not open a connection again."""
    (member, *_) = members
    member.on_login = hang
    client = EtcdClient(replace(member.settings, user="u", password="p", attempt_seconds=NEVER, request_seconds=NEVER))
    await client.connect()
    asking = [asyncio.create_task(client.range(b"k")) for _ in range(5)]
    await eventually(lambda: member.logins)
    await client.close()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailable] * 5
    assert member.logins == 1
