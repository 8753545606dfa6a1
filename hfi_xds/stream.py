"""The pump between one gRPC stream and its session: one task reads, the handler itself writes.

There is no queue. The reader and the sources say that there is news; the writer then waits for its turn, and asks the
session for what is due from the newest snapshot: one response each turn. While it waits, for its turn or for a slow
client, any number of changes cost nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.snapshot import NodeIdentity
from hfi_xds.admission import Admission, Caller
from hfi_xds.errors import StreamRefused
from hfi_xds.gate import DONE, NOT_READY, SILENT, SLOW, STOPPING, UNREADABLE, End, Gate, refused_by
from hfi_xds.metrics import XdsMetrics
from hfi_xds.patience import Patience
from hfi_xds.reporting import Reporter
from hfi_xds.resource_types import LISTENER, label
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import RequestT, ResponseT, Session
from hfi_xds.settings import XdsSettings
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from hfi_xds.throttle import Throttle

MessageIn = TypeVar("MessageIn")
MessageOut = TypeVar("MessageOut")


@dataclass(frozen=True, slots=True)
class Shared:
    """What all streams of a server share."""

    source: ResourceSource
    sidecars: SidecarSource
    proxies: ProxyRegistry
    fleet: Callable[[], Iterable[ProxyStatus]]
    """What is known of the proxies of all replicas."""
    reporter: Reporter
    metrics: XdsMetrics
    settings: XdsSettings
    gate: Gate
    admission: Admission
    patience: Patience
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
        self._turn = shared.throttle.turn()
        self._registered: NodeIdentity | None = None
        #: A third of the time to live: two may be lost on the way.
        self._beat_seconds = shared.settings.resource_ttl_seconds / 3
        self._beat: asyncio.TimerHandle | None = None

    async def run(self, requests: AsyncIterable[MessageIn], write: Callable[[MessageOut], Awaitable[None]]) -> End:
        """Serve until the client, the server or a broken rule ends it; answers how."""
        shared = self._shared
        if shared.source.current is None:
            return NOT_READY
        with (
            shared.gate.holding(self._turn.call),
            shared.source.following(self._turn.news),
            shared.sidecars.following(self._turn.news),
            shared.metrics.streams.track_inprogress(),
        ):
            reader = asyncio.create_task(self._read(requests))
            reader.add_done_callback(lambda _: self._turn.call())
            try:
                return await self._write(reader, write)
            finally:
                reader.cancel()
                self._turn.close()
                if self._beat is not None:
                    self._beat.cancel()
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
            due = self._session.receive(request)
            self._register()
            self._report()
            if due:
                self._turn.news()

    def _register(self) -> None:
        hello = self._session.hello
        if self._registered is None and hello is not None:
            self._registered = hello.node
            self._shared.proxies.stream_opened(hello.node, hello.user_agent)

    def _report(self) -> None:
        if self._registered is not None:
            self._shared.reporter.report(self._registered.id, self._session.take_events())

    async def _write(self, reader: asyncio.Task[None], write: Callable[[MessageOut], Awaitable[None]]) -> End:
        if not await self._said_hello(reader):
            return SILENT
        self._beat_again()
        self._turn.news()
        while True:
            if self._shared.gate.closed:
                return STOPPING
            over = reader.done()
            if over and (refused := _end_of(reader)):
                return refused
            if over:
                self._session.finish()
            if self._turn.has_come:
                more = await self._send_due(write)
                if more is None:
                    return SLOW
                self._turn.end()
                if over and not more:
                    # The client has closed its side: it has been answered, and could acknowledge nothing further. So a
                    # call from a command line ends by itself.
                    return DONE
                if more:
                    self._turn.news()
            elif over:
                self._turn.news()
            await self._turn.wait()

    async def _said_hello(self, reader: asyncio.Task[None]) -> bool:
        """Wait until the client has said who it is, or nothing more is to be said; False when it is silent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._shared.settings.hello_timeout_seconds):
                while self._registered is None and not reader.done() and not self._shared.gate.closed:
                    await self._turn.wait()
                    self._turn.end()
                return True
        # It may have said it, and wait for its turn.
        return self._registered is not None

    def _beat_again(self) -> None:
        """Have the client told once more, in time, that what it has lives on."""
        if self._beat_seconds:
            self._beat = asyncio.get_running_loop().call_later(self._beat_seconds, self._beats)

    def _beats(self) -> None:
        self._session.heartbeat()
        self._turn.news()
        self._beat_again()

    async def _send_due(self, write: Callable[[MessageOut], Awaitable[None]]) -> bool | None:
        """Send one response, if one is due: whether more may be, or None when the client did not take it in time."""
        shared, session = self._shared, self._session
        snapshot = None if self._registered is None else self._snapshot(self._registered)
        if snapshot is None or self._registered is None or session.settled(snapshot):
            return False
        if session.hello is not None and session.asked_for(LISTENER):
            # Who has listeners of its own asks for none, and misses nothing.
            shared.sidecars.say_what_is_missing(session.hello)
        response = session.next(snapshot)
        self._report()
        if response is None:
            return False
        message = self._codec.encode(response, shared.settings.identifier)
        # Before its answer can be counted.
        counter = shared.metrics.heartbeats if response.heartbeat else shared.metrics.pushes
        counter[label(response.type_url)].inc()
        if not await shared.patience.taken(write(message), self._caller, self._registered.id):
            return None
        return not session.settled(snapshot)

    def _snapshot(self, node: NodeIdentity) -> ResourceSnapshot | None:
        """What this client is served at this moment."""
        snapshot, hello = self._shared.source.for_node(node), self._session.hello
        if snapshot is None or hello is None:
            return None
        return self._shared.sidecars.add_to(snapshot, hello)


def _end_of(reader: asyncio.Task[None]) -> End | None:
    """The end that a reader's error means; None when the client has just finished. Other errors are raised."""
    try:
        reader.result()
    except DecodeError:
        return UNREADABLE
    except StreamRefused as refused:
        return refused_by(refused)
    return None
