"""A source of rules that has a new snapshot whenever it is told to: what a benchmark of *taking over* needs.

In the control plane's place, which would validate ten thousand rules a second on the very processor that sends the
load. What the filter sees is the same: the poll, the headers, the event. ``python source.py PORT`` is a process of its
own:

* ``GET /v1/config/stream?…``: the filter's poll; held until there is a version newer than the reader's.
* ``PUT /rules?count=10000``: publishes the next version, of which every rule differs from the version before.
* ``GET /taken?version=N``: answered when the reader has come back with that version, and so has parsed it; with the
  number of versions that it has come back with so far.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import uvloop
from harness import HOST, Bench, Started, fetch, free_ports, wait_for

EPOCH = "benchmark"
#: In the rules' paths, where the version's number goes.
_MARK = "/g@@@@@@"


class Source:
    """The server's state: one reader, one newest version."""

    def __init__(self) -> None:
        self._version = 1
        self._rules = b"[]"
        self._taken = self._takes = 0
        self._moved = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, with one request after the other."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
                target = urlsplit(first.split(" ")[1])
                query = {key: values[0] for key, values in parse_qs(target.query).items()}
                body = await self._answer(target.path, query, headers)
                answer = [
                    f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}",
                    f"x-hfi-version: {self._version}\r\nx-hfi-epoch: {EPOCH}\r\n\r\n",
                ]
                writer.writelines(["\r\n".join(answer).encode(), body])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # The other end has gone, as it may at any time.
        finally:
            writer.close()

    async def _answer(self, path: str, query: dict[str, str], headers: dict[str, str]) -> bytes:
        if path == "/v1/config/stream":
            return await self._poll(query, headers)
        async with self._moved:
            if path == "/rules":
                self._version += 1
                marked = _template(int(query["count"]))
                self._rules = marked.replace(_MARK.encode(), prefix(self._version).encode())
                self._moved.notify_all()
            elif path == "/taken":
                await self._moved.wait_for(lambda: self._taken >= int(query["version"]))
                return str(self._takes).encode()
        return str(self._version).encode()

    async def _poll(self, query: dict[str, str], headers: dict[str, str]) -> bytes:
        known = int(headers.get("last-event-id", "0")) if headers.get("x-hfi-epoch") == EPOCH else 0
        async with self._moved:
            self._takes += known > self._taken
            self._taken = known
            self._moved.notify_all()
            try:
                async with asyncio.timeout(float(query["wait"].removesuffix("s"))):
                    await self._moved.wait_for(lambda: self._version > known)
            except TimeoutError:
                return b": nothing new\n\n"
        now = round(time.time() * 1000)
        head = f'{{"version":"{self._version}","epoch":"{EPOCH}","server_time_ms":{now},"rules":'
        return b"id: %d\nevent: update\ndata: %s%s}\n\n" % (self._version, head.encode(), self._rules)


@functools.cache
def _template(count: int) -> bytes:
    from filter import sets  # Only the server needs it.

    return sets.snapshot(sets.mixed(count, _MARK).rules)


def prefix(version: int) -> str:
    """What the paths of that version's rules begin with."""
    return f"/g{version:06d}"


class Handle:
    """The server, seen from the benchmark."""

    def __init__(self, bench: Bench, name: str, cpu: int | None) -> None:
        (self.port,) = free_ports(1)
        self._started: Started = bench.start(name, [sys.executable, __file__, str(self.port)], cpu)
        wait_for(f"{name} to listen", self._listens)

    def _listens(self) -> bool | None:
        self._started.alive()
        try:
            return True if self._ask("GET", "/version") else None
        except OSError:
            return None

    def publish(self, count: int) -> int:
        """A new version, none of whose rules was there before; its number."""
        return self._ask("PUT", f"/rules?count={count}")

    def taken(self, version: int) -> int:
        """Wait until the filter has parsed it; how many versions it has parsed by now, of all that there were."""
        return self._ask("GET", f"/taken?version={version}")

    def _ask(self, method: str, path: str) -> int:
        return int(fetch(f"http://{HOST}:{self.port}{path}", method, timeout=60).body)


async def _main(port: int) -> None:
    server = await asyncio.start_server(Source().serve, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
