"""The pump between one gRPC stream and its session: one task reads, the handler itself writes.

There is no queue. The reader and the source set one event; the writer then waits for its turn, and asks the session for
what is due from the newest snapshot, until nothing is. While it waits, for its turn or for a slow client, any number of
changes cost nothing.

A write that has begun cannot be taken back, and until it is over gRPC can send no status either (tried with grpcio
1.85: TOO_MANY_OPERATIONS, and the call is never ended). So the connection of a client that does not take a response is
cut. Where streams of other nodes share it, the client is waited for, with its place and that one response as all that
it costs; and whatever becomes of it, its stream ends then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from hfi_core.proxies import ProxyRegistry
from hfi_core.snapshot import NodeIdentity
from hfi_xds.admission import Admission, Caller
from hfi_xds.errors import StreamRefused
from hfi_xds.gate import DONE, STOPPING, End, Gate
from hfi_xds.metrics import XdsMetrics
from hfi_xds.reporting import Reporter
from hfi_xds.resource_types import LISTENER, label
from hfi_xds.session import RequestT, ResponseT, Session
from hfi_xds.settings import XdsSettings
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from hfi_xds.throttle import Throttle

log = logging.getLogger(__name__)

MessageIn = TypeVar("MessageIn")
MessageOut = TypeVar("MessageOut")

NOT_READY = End(grpc.StatusCode.UNAVAILABLE, "this control plane has nothing to serve yet", "not_ready")
SILENT = End(grpc.StatusCode.DEADLINE_EXCEEDED, "the first message did not come in time", "silent")
#: Counted when it is noticed, not when it has come to an end.
SLOW = End(grpc.StatusCode.DEADLINE_EXCEEDED, "a response was not taken in time")
UNREADABLE = End(grpc.StatusCode.INVALID_ARGUMENT, "a message that cannot be read", "invalid")


@dataclass(frozen=True, slots=True)
class Shared:
    """What all streams of a server share."""

    source: ResourceSource
    sidecars: SidecarSource
    proxies: ProxyRegistry
    reporter: Reporter
    metrics: XdsMetrics
    settings: XdsSettings
    gate: Gate
    admission: Admission
    hang_up: Callable[[str], Awaitable[bool]]
    """Cuts the connection from an address, as gRPC writes it; whether there was one."""
    throttle: Throttle


@dataclass(frozen=True, slots=True)
class Codec(Generic[MessageIn, RequestT, ResponseT, MessageOut]):
    """Between a variant's messages and its values."""

    decode: Callable[[MessageIn], RequestT]
    encode: Callable[[ResponseT, str], MessageOut]


class DiscoveryStream(Generic[MessageIn, RequestT, ResponseT, MessageOut]):
    """One stream, from its first message to its end."""

    def __init__(
        self,
        shared: Shared,
        session: Session[RequestT, ResponseT],
        codec: Codec[MessageIn, RequestT, ResponseT, MessageOut],
        caller: Caller,
    ) -> None:
        self._shared = shared
        self._session = session
        self._codec = codec
        self._caller = caller
        self._held = ExitStack()
        self._wake = asyncio.Event()
        self._registered: NodeIdentity | None = None
        #: A third of the time to live: two may be lost on the way.
        self._beat_seconds = shared.settings.resource_ttl_seconds / 3
        self._beat_at = asyncio.get_running_loop().time() + self._beat_seconds

    async def run(self, requests: AsyncIterable[MessageIn], write: Callable[[MessageOut], Awaitable[None]]) -> End:
        """Serve until the client, the server or a broken rule ends it; answers how."""
        shared = self._shared
        if shared.source.current is None:
            return NOT_READY
        with (
            shared.gate.holding(self._wake),
            shared.source.following(self._wake),
            shared.sidecars.following(self._wake),
            shared.metrics.streams.track_inprogress(),
        ):
            reader = asyncio.create_task(self._read(requests))
            reader.add_done_callback(lambda _: self._wake.set())
            try:
                return await self._write(reader, write)
            finally:
                reader.cancel()
                # Before what the reader has to say, which may be an error of ours.
                if self._registered is not None:
                    shared.proxies.stream_closed(self._registered.id)
                try:
                    with contextlib.suppress(asyncio.CancelledError, StreamRefused, DecodeError):
                        await reader
                finally:
                    self._held.close()

    async def _read(self, requests: AsyncIterable[MessageIn]) -> None:
        async for message in requests:
            request = self._codec.decode(message)
            if self._registered is None and request.hello is not None:
                # Before the session: what a stranger says of a node must not be remembered of that node.
                self._held.enter_context(self._shared.admission.holding(self._caller, request.hello.node.id))
            self._session.receive(request)
            self._register()
            self._report()
            self._wake.set()

    def _register(self) -> None:
        hello = self._session.hello
        if self._registered is None and hello is not None:
            self._registered = hello.node
            self._shared.proxies.stream_opened(hello.node, hello.user_agent)

    def _report(self) -> None:
        if self._registered is not None:
            self._shared.reporter.report(self._registered.id, self._session.take_events())

    async def _write(self, reader: asyncio.Task[None], write: Callable[[MessageOut], Awaitable[None]]) -> End:
        try:
            async with asyncio.timeout(self._shared.settings.hello_timeout_seconds):
                await self._wake.wait()
                while self._registered is None and not reader.done() and not self._shared.gate.closed:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return SILENT
        while True:
            self._wake.clear()
            if self._shared.gate.closed:
                return STOPPING
            over = reader.done()
            if over and (refused := _end_of(reader)):
                return refused
            if over:
                self._session.finish()
            if not await self._send_due(write):
                return SLOW
            if over:
                # The client has closed its side: it has been answered, and could acknowledge nothing further. So a
                # call from a command line ends by itself.
                return DONE
            await self._woken()

    async def _woken(self) -> None:
        """Wait for news, or until what the client has needs a sign of life."""
        if not self._beat_seconds:
            await self._wake.wait()
            return
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._beat_at):
                await self._wake.wait()
        if loop.time() >= self._beat_at:
            self._session.heartbeat()
            self._beat_at = loop.time() + self._beat_seconds

    async def _send_due(self, write: Callable[[MessageOut], Awaitable[None]]) -> bool:
        """Send what is due, until nothing is; False when the client did not take it in time."""
        while self._registered is not None:
            # Before it is asked what is due: what was asked for must be sent, and would not be the newest for long.
            async with self._shared.throttle.place():
                if self._shared.gate.closed:
                    break
                response = self._next(self._registered)
                self._report()
                if response is None:
                    break
                message = self._codec.encode(response, self._shared.settings.identifier)
                # Before its answer can be counted.
                counter = self._shared.metrics.heartbeats if response.heartbeat else self._shared.metrics.pushes
                counter.labels(label(response.type_url)).inc()
                if not await self._in_time(write(message), self._registered):
                    return False
        return True

    def _next(self, node: NodeIdentity) -> ResponseT | None:
        snapshot, hello = self._shared.source.for_node(node), self._session.hello
        if snapshot is None or hello is None:
            return None
        if self._session.asked_for(LISTENER):
            # Who has listeners of its own asks for none, and misses nothing.
            self._shared.sidecars.say_what_is_missing(hello)
        return self._session.next(self._shared.sidecars.add_to(snapshot, hello))

    async def _in_time(self, write: Awaitable[None], node: NodeIdentity) -> bool:
        """Wait until the client has taken it, and tell whether that was in time."""
        seconds = self._shared.settings.write_timeout_seconds
        writing = asyncio.ensure_future(write)
        try:
            done, _ = await asyncio.wait({writing}, timeout=seconds)
            if not done:
                self._shared.metrics.rejected_streams.labels("slow").inc()
                await self._drop(node)
            await writing
        except aio.InternalError as gone:
            # The client went in the middle of it. gRPC is about to cancel us, and is told nothing new.
            raise asyncio.CancelledError from gone
        finally:
            writing.cancel()
        return bool(done)

    async def _drop(self, node: NodeIdentity) -> None:
        """End the stream of a client that does not read, with its connection, if nobody else's streams are on that."""
        seconds = self._shared.settings.write_timeout_seconds
        cut = self._shared.admission.alone(self._caller)
        # Told before: once it is cut, gRPC cancels us.
        log.warning(
            "proxy %r has not taken a response for %g s; %s",
            node.id,
            seconds,
            "its connection is cut" if cut else "its stream ends when it has, for others share its connection",
        )
        if cut and not await self._shared.hang_up(self._caller.address):
            log.warning("the connection of proxy %r from %s was not found", node.id, self._caller.address)


def _end_of(reader: asyncio.Task[None]) -> End | None:
    """The end that a reader's error means; None when the client has just finished. Other errors are raised."""
    try:
        reader.result()
    except DecodeError:
        return UNREADABLE
    except StreamRefused as refused:
        return refusal(refused)
    return None


def refusal(refused: StreamRefused) -> End:
    """The end of a stream that is refused."""
    return End(grpc.StatusCode[refused.code], refused.detail, refused.reason)
