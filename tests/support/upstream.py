"""The application behind the Envoy: answers everything with 200, and remembers what has reached it.

It runs in a thread with an event loop of its own, so that one can serve a whole session of tests, each of which
has a loop of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

#: Shows that an answer is the application's own.
MARK = ("x-upstream", "tests")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that arrived, whole. Header names are in lower case, ``target`` is the path with its query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    length: int
    sha256: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


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
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # The proxy has gone, or the test is over: nobody is left to be told.
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        fields = (line.partition(":") for line in lines)
        headers = tuple((name.lower(), value.strip()) for name, _, value in fields)
        length, digest = await _swallow(reader, dict(headers))
        self._seen.append(Seen(method, target, headers, length, digest))
        body = json.dumps({"method": method, "target": target, "length": length, "sha256": digest}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{': '.join(MARK)}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


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
