"""A raw HTTP/1.1 client: bytes out, a timestamp when the whole answer is in. No library in between.

One connection has one request in flight. Answers must have a ``content-length``, as Envoy's do.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

from harness import HOST, BenchmarkError


class Connection(asyncio.Protocol):
    """A kept connection. ``sent`` and ``done`` are seconds of the performance counter."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[int] | None = None
        self.sent = 0.0
        self.done = 0.0
        self.body = b""

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, HOST, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BenchmarkError(f"the connection was closed in mid-answer: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        now = time.perf_counter()
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        _, found, tail = head.lower().partition(b"content-length:")
        if not found or len(rest) < int(tail.split(b"\r\n", 1)[0]):
            return
        self.done = now
        self.body = rest
        self._buffer = b""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(int(head[9:12]))

    def send(self, request: bytes) -> asyncio.Future[int]:
        """Send; the future is the status of the answer."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise BenchmarkError("the connection was closed between two requests")
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self.sent = time.perf_counter()
        self._transport.write(request)
        return waiting

    def close(self) -> None:
        """Let go of it."""
        if self._transport is not None:
            self._transport.close()


def request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request's bytes."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: {HOST}",
        *(f"{key}: {value}" for key, value in (headers or {}).items()),
    ]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
