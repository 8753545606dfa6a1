"""A watch that goes on: the protocol as a value (:class:`WatchState`), and the pump around it.

The laws:

1. Where a watch goes on is the revision of the last *event* that was handed over, or of a progress
   notification that carries the watch's own id, which etcd orders behind the events.
2. The answer to a progress *request* (its watch id is -1) proves that the connection lives and nothing else:
   before etcd 3.5.8 and 3.4.25 its revision could run ahead of events not yet sent (etcd#15220).
3. A response may come in fragments; changes are handed over when the last one is there, so never half a
   transaction.
4. The stream carries ``hasleader``, so that a member that is cut off from its cluster ends the watch.
5. Silence is asked about, and an unanswered question ends the connection. After a connection it is asked about early,
   for until then nobody can say that a quiet store is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

from grpc import aio

from hfi_core.backoff import Backoff
from hfi_core.errors import StoreDenied, StoreUnavailable, WatchCompacted
from hfi_core.outage import Outage
from hfi_core.store.etcd_client.calls import Caller
from hfi_core.store.etcd_client.channels import Channels
from hfi_core.store.etcd_client.failures import is_token_refused, translate
from hfi_core.store.etcd_client.methods import WATCH
from hfi_core.store.etcd_client.values import KeyChange, WatchNews, key_change
from hfi_core.store.pb import etcd_pb2 as pb
from hfi_core.store.settings import EtcdSettings

log = logging.getLogger(__name__)

#: Between two connections of one watch.
BACKOFF_SECONDS = (0.05, 5.0)
#: A new connection is silent for so long before it is asked: what was missed comes first, within 0.1 s.
FIRST_QUESTION_SECONDS = 0.5
#: The id that etcd gives the answer to a progress request.
PROGRESS_ANSWER = -1

Call = aio.StreamStreamCall[pb.WatchRequest, pb.WatchResponse]

#: Called with the last revision before each connection: whether a watch may go on from there.
Check = Callable[[int], Awaitable[None]]


class WatchState:
    """What one watch has seen. Sans-IO: responses in, news out. ``end`` is the key range's end, exclusive."""

    def __init__(self, key: bytes, end: bytes, from_revision: int) -> None:
        self.key = key
        self.end = end
        self.seen = from_revision
        self._parts: list[KeyChange] = []

    def create(self) -> pb.WatchRequest:
        """The request that begins or resumes the watch on a new stream."""
        self._parts.clear()  # Fragments of a response whose rest will never come; they come again.
        create = pb.WatchCreateRequest(
            key=self.key, range_end=self.end, start_revision=self.seen + 1, progress_notify=True, fragment=True
        )
        return pb.WatchRequest(create_request=create)

    def accept(self, response: pb.WatchResponse) -> WatchNews | None:
        """What a response says; None when that is nothing yet.

        Raises :class:`~hfi_core.errors.WatchCompacted`, and :class:`~hfi_core.errors.StoreDenied` or
        :class:`~hfi_core.errors.StoreUnavailable` when etcd ends the watch.
        """
        if response.canceled:
            raise _ended(response)
        if response.created:
            return None
        self._parts.extend(key_change(event) for event in response.events)
        if response.fragment:
            return None
        changes = tuple(change for change in self._parts if change.revision > self.seen)
        self._parts.clear()
        if changes:
            self.seen = changes[-1].revision
        elif not response.events and response.watch_id != PROGRESS_ANSWER:
            self.seen = max(self.seen, response.header.revision)
        return WatchNews(changes, self.seen)


def _ended(response: pb.WatchResponse) -> WatchCompacted | StoreDenied | StoreUnavailable:
    if response.compact_revision:
        return WatchCompacted(response.compact_revision)
    reason = response.cancel_reason or "no reason given"
    if "permission denied" in reason or is_token_refused(reason):
        return StoreDenied(f"etcd refuses the watch: {reason}")
    return StoreUnavailable(f"etcd ended the watch: {reason}")


class Watcher:
    """Opens watches and keeps them going."""

    def __init__(self, settings: EtcdSettings, channels: Channels, caller: Caller) -> None:
        self._settings = settings
        self._channels = channels
        self._caller = caller

    async def news(self, key: bytes, end: bytes, from_revision: int, check: Check) -> AsyncGenerator[WatchNews, None]:
        """Changes after ``from_revision``, whatever becomes of the connection, until the caller closes."""
        state = WatchState(key, end, from_revision)
        backoff = Backoff(*BACKOFF_SECONDS)
        outage = Outage(log, f"the watch of {key.decode(errors='backslashreplace')} in etcd")
        denied = False
        while not self._caller.closed.is_set():
            index = self._channels.favourite
            try:
                await check(state.seen)
                index = self._channels.favourite
                async with contextlib.aclosing(self._stream(index, state)) as stream:
                    async for news in stream:
                        backoff.reset()
                        outage.over()
                        denied = False
                        yield news
            except StoreDenied:
                # etcd 3.5 also says so of a token that it forgot in a restart: once more, with a new one.
                if denied:
                    raise
                denied = True
                self._caller.forget_token()
            except StoreUnavailable as error:
                self._channels.failed(index)
                pause = backoff.next()
                if not self._caller.closed.is_set():
                    outage.failed(error, pause)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._caller.closed.wait()

    async def _stream(self, index: int, state: WatchState) -> AsyncGenerator[WatchNews, None]:
        target = self._channels.target(index)
        call: Call | None = None
        reading: asyncio.Future[object] | None = None
        try:
            async with asyncio.timeout(self._settings.attempt_seconds):
                metadata = (*await self._caller.metadata(), ("hasleader", "true"))
                call = self._open(index, metadata)
                await call.write(state.create())
            reading = asyncio.ensure_future(call.read())
            patience, asked = self._settings.attempt_seconds, True  # The first answer is owed: "created".
            while True:
                # Not wait_for: gRPC takes the cancellation of a read for that of the call.
                done, _ = await asyncio.wait({reading}, timeout=patience)
                if not done and asked:
                    raise StoreUnavailable(f"etcd at {target} has gone silent")
                if not done:
                    await call.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
                    patience, asked = self._settings.hung_seconds - self._settings.heartbeat_seconds, True
                    continue
                response = reading.result()
                if not isinstance(response, pb.WatchResponse):  # It is gRPC's end of stream.
                    raise StoreUnavailable(f"etcd at {target} closed the watch")
                patience, asked = self._settings.heartbeat_seconds, False
                if response.created:
                    patience = min(patience, FIRST_QUESTION_SECONDS)
                reading = asyncio.ensure_future(call.read())
                news = state.accept(response)
                if news is not None:
                    yield news
        except aio.AioRpcError as error:
            raise translate(error, target) from error
        except TimeoutError as error:
            raise StoreUnavailable(f"etcd at {target} does not take the watch") from error
        except (asyncio.CancelledError, aio.UsageError, asyncio.InvalidStateError) as error:
            # A channel that is closed, or a stream that ended while we were about to write, looks like this; our
            # own task's cancellation must go on.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise StoreUnavailable(f"the watch on etcd at {target} is closed") from error
        finally:
            if call is not None:
                call.cancel()
            if reading is not None:
                await asyncio.wait({reading})
                if not reading.cancelled():
                    reading.exception()  # Fetched, so that asyncio does not report it as forgotten.

    def _open(self, index: int, metadata: tuple[tuple[str, str], ...]) -> Call:
        stub = self._channels.channel(index).stream_stream(
            WATCH.path,
            request_serializer=WATCH.request.SerializeToString,
            response_deserializer=WATCH.answer.FromString,
        )
        return cast(Call, stub(None, metadata=metadata))
