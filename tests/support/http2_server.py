"""The application's HTTP/2 side: one connection, whose streams are answered each for itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from tests.support.http2 import Transport
from tests.support.reply import Reply, Seen


@dataclass
class _Request:
    fields: list[tuple[str, str]]
    length: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def seen(self) -> Seen:
        pseudo = dict(self.fields)
        headers = tuple((name, value) for name, value in self.fields if not name.startswith(":"))
        host = (("host", pseudo[":authority"]),) if ":authority" in pseudo else ()
        return Seen(pseudo[":method"], pseudo[":path"], (*host, *headers), self.length, self.digest.hexdigest())


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: bytes, answer: Callable[[Seen], Reply]
) -> None:
    """Until the other end closes. ``received`` are the first bytes, which somebody has read already."""
    wire = Transport(reader, writer, client=False)
    wire.greet()
    wire.h2.receive_data(received)
    requests: dict[int, _Request] = {}
    async with asyncio.TaskGroup() as answering:
        while (events := await wire.events()) is not None:
            for event in events:
                if isinstance(event, RequestReceived):
                    requests[event.stream_id] = _Request([(str(name), str(value)) for name, value in event.headers])
                elif isinstance(event, DataReceived) and event.stream_id in requests:
                    request = requests[event.stream_id]
                    request.length += len(event.data)
                    request.digest.update(event.data)
                elif isinstance(event, StreamReset):
                    requests.pop(event.stream_id, None)
                elif isinstance(event, StreamEnded) and event.stream_id in requests:
                    reply = answer(requests.pop(event.stream_id).seen())
                    answering.create_task(_send(wire, event.stream_id, reply))


async def _send(wire: Transport, stream: int, reply: Reply) -> None:
    fields = [(":status", str(reply.status)), *reply.fields]
    # The proxy may have reset the stream meanwhile, or have gone.
    with suppress(ProtocolError, ConnectionError):
        wire.h2.send_headers(stream, fields, end_stream=not (reply.body or reply.trailers))
        wire.flush()
        if reply.body:
            # Applications do either.
            await wire.send_body(stream, reply.body, ends=not reply.chunked, trailers=reply.trailers)
        elif reply.trailers:
            wire.h2.send_headers(stream, reply.trailers, end_stream=True)
            wire.flush()
