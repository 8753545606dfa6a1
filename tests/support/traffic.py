"""Requests, as many and as exact as a test needs: a plain HTTP/1.1 client.

Written for tests of a proxy: header lines go out exactly as given (repeated, in any case), a connection can be
opened before something happens and used after, or dropped in the middle, and 10,000 requests take a second or two.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, Self

Headers = Sequence[tuple[str, str]]

#: No test delays a request for longer than a few seconds.
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read whole. ``seconds`` is from before the request's first byte to after the answer's last."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    def header(self, name: str) -> str | None:
        """The value of the only header of that name (in lower case), or None."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) < 2, f"{name} is there {len(found)} times: {found}"
        return found[0] if found else None

    @property
    def closes(self) -> bool:
        return (self.header("connection") or "").lower() == "close"


class CutOff(Exception):
    """The answer ended before its end: the connection was closed, or the stream reset. This is what came of it.

    ``status`` is None when not even its head came; ``code`` is that of HTTP/2's reset, where there was one.
    """

    def __init__(self, status: int | None, headers: Headers, body: bytes, code: int | None = None) -> None:
        super().__init__(f"status {status}, {len(body)} bytes of body, code {code}")
        self.status = status
        self.headers = tuple(headers)
        self.body = body
        self.code = code


class Client(Protocol):
    """A connection, of whichever protocol: requests may be sent before answers are read, which come in their order."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    def abandon(self) -> None: ...
    async def send(self, path: str, method: str = "GET", headers: Headers = (), body: bytes | None = None) -> None: ...
    async def read(self) -> Answer: ...
    async def request(
        self, path: str, method: str = "GET", headers: Headers = (), body: bytes | None = None
    ) -> Answer: ...


class Wire(Protocol):
    """How to connect, by one protocol or the other. ``authority`` is what requests name, by default the host."""

    def __call__(self, host: str, port: int, authority: str = "") -> Client: ...


class Connection:
    """One connection, kept alive; requests go one after the other."""

    def __init__(self, host: str, port: int, authority: str = "") -> None:
        self._host = host
        self._port = port
        self._authority = authority or host
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sent: deque[tuple[str, float]] = deque()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 20)
        self._sent.clear()

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
            self._reader = self._writer = None

    def abandon(self) -> None:
        """Drop the connection at once, whatever is under way on it."""
        assert self._writer is not None, "the connection is not open"
        self._writer.transport.abort()
        self._reader = self._writer = None

    async def send(self, path: str, method: str = "GET", headers: Headers = (), body: bytes | None = None) -> None:
        """Send a request, and do not wait for its answer."""
        assert self._writer is not None, "the connection is not open"
        self._sent.append((method, time.perf_counter()))
        self._writer.write(encode(self._authority, path, method, headers, body))
        await self._writer.drain()

    async def read(self) -> Answer:
        """The next answer. Raises :class:`CutOff`."""
        assert self._reader is not None, "the connection is not open"
        method, sent_at = self._sent.popleft()
        status, headers, body = None, (), bytearray()
        try:
            while status is None:
                found, headers = _head(await self._reader.readuntil(b"\r\n\r\n"))
                status = found if found >= 200 else None
            if method != "HEAD":
                async for part in _body(self._reader, status, headers):
                    body += part
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise CutOff(status, headers, bytes(body)) from error
        return Answer(status, headers, bytes(body), time.perf_counter() - sent_at)

    async def request(self, path: str, method: str = "GET", headers: Headers = (), body: bytes | None = None) -> Answer:
        """Send, and read the answer. Raises :class:`CutOff`."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.send(path, method, headers, body)
            answer = await self.read()
            if answer.closes:
                # Envoy may close after answering in the upstream's place: the request's body was not read.
                await self.close()
                await self.open()
            return answer


def encode(host: str, path: str, method: str, headers: Headers, body: bytes | None) -> bytes:
    """The bytes of a request. ``host``, and ``content-length`` where there is a body, are added."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


async def once(
    port: int,
    path: str,
    method: str = "GET",
    headers: Headers = (),
    body: bytes | None = None,
    host: str = "127.0.0.1",
    *,
    wire: Wire = Connection,
    authority: str = "",
) -> Answer:
    """One request on a connection of its own."""
    async with wire(host, port, authority) as connection:
        return await connection.request(path, method, headers, body)


@asynccontextmanager
async def connections(
    port: int, count: int, host: str = "127.0.0.1", *, wire: Wire = Connection
) -> AsyncIterator[list[Client]]:
    """Connections that are open already; an Envoy spreads them over its workers."""
    opened = [wire(host, port) for _ in range(count)]
    try:
        await asyncio.gather(*(connection.open() for connection in opened))
        yield opened
    finally:
        await asyncio.gather(*(connection.close() for connection in opened))


async def volley(over: Iterable[Client], count: int, path: str, headers: Headers = ()) -> list[Answer]:
    """``count`` equal requests, all of them answered, shared between the connections."""
    left = iter(range(count))

    async def fire(connection: Client) -> list[Answer]:
        return [await connection.request(path, headers=headers) for _ in left]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fire(connection)) for connection in over]
    answers = [answer for task in tasks for answer in task.result()]
    assert len(answers) == count
    return answers


def statuses(answers: Iterable[Answer]) -> Counter[int]:
    """How many answers there are of each status."""
    return Counter(answer.status for answer in answers)


def _head(raw: bytes) -> tuple[int, tuple[tuple[str, str], ...]]:
    first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), tuple((name.lower(), value.strip()) for name, _, value in fields)


async def _body(reader: asyncio.StreamReader, status: int, headers: Headers) -> AsyncIterator[bytes]:
    """The parts of a body, as they come."""
    framing = dict(headers)
    if "chunked" in framing.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            async for part in _exactly(reader, size):
                yield part
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif status not in (204, 304):
        assert "content-length" in framing, f"an answer without a length: {headers}"
        async for part in _exactly(reader, int(framing["content-length"])):
            yield part


async def _exactly(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    while left:
        part = await reader.read(min(left, 1 << 16))
        if not part:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(part)
        yield part
