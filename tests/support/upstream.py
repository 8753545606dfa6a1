"""The application behind the Envoy, by HTTP/1.1 and HTTP/2: remembers what has reached it, and answers it.

It runs in a thread with an event loop of its own, so that one can serve a whole session of tests, each of which
has a loop of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from typing import Self

from tests.support import http2_server
from tests.support.reply import Reply, Seen, reply

#: How a connection of HTTP/2 begins (RFC 9113, section 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
CHUNK = 1 << 16


class Upstream:
    """Listens on a free port of 127.0.0.1 from construction until :meth:`close`."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()
        self._connections: set[asyncio.Task[None]] = set()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def seen(self, prefix: str = "/") -> list[Seen]:
        """What has arrived so far under a path, in order."""
        return [request for request in list(self._seen) if request.target.startswith(prefix)]

    def close(self) -> None:
        if not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) != PREFACE:
                await self._serve(head, reader, writer)
            await http2_server.serve(reader, writer, head, self._answer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The proxy has gone, or the test is over: nobody is left to be told.
        finally:
            self._connections.discard(task)
            writer.close()

    def _answer(self, seen: Seen) -> Reply:
        self._seen.append(seen)
        return reply(seen)

    async def _serve(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        fields = (line.partition(":") for line in lines)
        headers = tuple((name.lower(), value.strip()) for name, _, value in fields)
        length, digest = await _swallow(reader, dict(headers))
        answer = self._answer(Seen(method, target, headers, length, digest))
        framing = (("transfer-encoding", "chunked"),) if answer.chunked else ()
        out = "".join(f"{name}: {value}\r\n" for name, value in (*answer.fields, *framing))
        writer.write(f"HTTP/1.1 {answer.status} Fine\r\n{out}\r\n".encode())
        for start in range(0, len(answer.body), CHUNK):
            part = answer.body[start : start + CHUNK]
            writer.write(b"%x\r\n%b\r\n" % (len(part), part) if answer.chunked else part)
            await writer.drain()
        if answer.chunked and method != "HEAD":
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _swallow(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[int, str]:
    """Length and digest of a body; it is not kept."""
    digest = hashlib.sha256()
    length = 0
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            digest.update((await reader.readexactly(size + 2))[:-2])
            length += size
        await reader.readuntil(b"\r\n")
    else:
        left = int(headers.get("content-length", 0))
        while left:
            chunk = await reader.read(min(left, 1 << 16))
            if not chunk:
                raise asyncio.IncompleteReadError(b"", left)
            digest.update(chunk)
            length += len(chunk)
            left -= len(chunk)
    return length, digest.hexdigest()
