"""HTTP/2 without TLS, by the library h2: a client that is used like :class:`tests.support.traffic.Connection`.

What h2 leaves to its user is here, for both ends: bytes to and from a socket, and windows that are kept open.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from tests.support.traffic import TIMEOUT_SECONDS, Answer, CutOff, Headers

#: Nobody here is to wait for a window, which is the largest there is: what waits is lost when its stream is reset.
WINDOW = (1 << 31) - 1
FIRST_WINDOW = 65_535


class Transport:
    """One end of a connection: feeds h2, and sends what it has to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool) -> None:
        self._reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding="latin-1"))
        self._moved = asyncio.Event()

    def greet(self) -> None:
        self.h2.local_settings = Settings(
            client=self.h2.config.client_side,
            initial_values={SettingCodes.INITIAL_WINDOW_SIZE: WINDOW, SettingCodes.MAX_FRAME_SIZE: 1 << 20},
        )
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(WINDOW - FIRST_WINDOW)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def events(self) -> list[Event] | None:
        """What came next, which may be less than an event; None when the other end has closed."""
        data = await self._reader.read(1 << 16)
        events = self.h2.receive_data(data) if data else []
        for event in events:
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                with suppress(ProtocolError):  # Its stream may have been reset by the next event.
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._moved.set()
        self.flush()
        return events if data else None

    async def send_body(self, stream: int, body: bytes, *, ends: bool = False, trailers: Headers = ()) -> None:
        """All of it, as fast as the other end takes it. Trailers are the end of the stream, where there are any; or
        the last bytes carry it, if ``ends``; or else it comes after them.
        """
        ends = ends and not trailers
        sent = 0
        while sent < len(body):
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room > 0:
                last = ends and sent + room >= len(body)
                self.h2.send_data(stream, body[sent : sent + room], end_stream=last)
                sent += room
                self.flush()
                await self.writer.drain()
            else:
                self._moved.clear()
                await self._moved.wait()
        if trailers:
            self.h2.send_headers(stream, trailers, end_stream=True)
        elif not (ends and body):
            self.h2.end_stream(stream)
        self.flush()


@dataclass
class _Stream:
    sent_at: float
    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    code: int | None = None
    whole: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: float = 0.0

    def end(self, *, whole: bool, code: int | None = None) -> None:
        if not self.over.is_set():
            self.whole, self.code = whole, code
            self.seconds = time.perf_counter() - self.sent_at
            self.over.set()


class Http2Connection:
    """One connection; requests may overlap, and their answers are read in the order in which they were sent.

    Trailers are put behind the headers of an :class:`Answer`.
    """

    def __init__(self, host: str, port: int, authority: str = "") -> None:
        self._host = host
        self._port = port
        self._authority = authority or host
        self._wire: Transport | None = None
        self._pump: asyncio.Task[None] | None = None
        self._streams: dict[int, _Stream] = {}
        self._unread: deque[_Stream] = deque()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._streams, self._unread = {}, deque()
        self._wire = Transport(*await asyncio.open_connection(self._host, self._port), client=True)
        self._wire.greet()
        self._pump = asyncio.create_task(self._receive(self._wire))

    async def close(self) -> None:
        wire = self._wire
        self.abandon()
        if wire is not None:
            with suppress(ConnectionError):
                await wire.writer.wait_closed()

    def abandon(self) -> None:
        """Drop the connection at once, whatever is under way on it."""
        if self._pump is not None and self._wire is not None:
            self._pump.cancel()
            self._wire.writer.transport.abort()
        self._wire = self._pump = None

    def cancel(self) -> None:
        """Reset the stream of the last request, and forget it; the connection stays."""
        wire = self._open_wire()
        wire.h2.reset_stream(max(self._streams), ErrorCodes.CANCEL)
        wire.flush()
        self._unread.pop()

    async def send(self, path: str, method: str = "GET", headers: Headers = (), body: bytes | None = None) -> None:
        """Send a request, and do not wait for its answer. A body that is not taken is given up with the stream."""
        wire = self._open_wire()
        stream = wire.h2.get_next_available_stream_id()
        state = self._streams[stream] = _Stream(time.perf_counter())
        self._unread.append(state)
        pseudo = [(":method", method), (":scheme", "http"), (":authority", self._authority), (":path", path)]
        fields = [(name.lower(), value) for name, value in headers]
        if body is not None:
            fields.append(("content-length", str(len(body))))
        wire.h2.send_headers(stream, [*pseudo, *fields], end_stream=body is None)
        wire.flush()
        if body is not None:
            with suppress(ProtocolError, ConnectionError):
                await wire.send_body(stream, body)

    async def read(self) -> Answer:
        """The next answer. Raises :class:`CutOff`."""
        state = self._unread.popleft()
        await state.over.wait()
        if not state.whole or state.status is None:
            raise CutOff(state.status, state.headers, bytes(state.body), state.code)
        return Answer(state.status, tuple(state.headers), bytes(state.body), state.seconds)

    async def request(self, path: str, method: str = "GET", headers: Headers = (), body: bytes | None = None) -> Answer:
        """Send, and read the answer. Raises :class:`CutOff`."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.send(path, method, headers, body)
            return await self.read()

    def _open_wire(self) -> Transport:
        assert self._wire is not None, "the connection is not open"
        return self._wire

    async def _receive(self, wire: Transport) -> None:
        try:
            while (events := await wire.events()) is not None:
                for event in events:
                    self._take(event)
        except ConnectionError:
            pass
        finally:
            for state in self._streams.values():
                state.end(whole=False)

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            for state in self._streams.values():
                state.end(whole=False, code=event.error_code)
            return
        state = self._streams.get(getattr(event, "stream_id", None) or 0)
        if state is None:
            return
        if isinstance(event, ResponseReceived):
            fields = [(str(name), str(value)) for name, value in event.headers]
            state.status = int(dict(fields)[":status"])
            state.headers = [pair for pair in fields if not pair[0].startswith(":")]
        elif isinstance(event, DataReceived):
            state.body += event.data
        elif isinstance(event, TrailersReceived):
            state.headers += [(str(name), str(value)) for name, value in event.headers]
        elif isinstance(event, StreamEnded):
            state.end(whole=True)
        elif isinstance(event, StreamReset):
            state.end(whole=False, code=event.error_code)
