"""Runs the application with uvicorn, inside a loop that is somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp

from hfi_core.errors import SettingsInvalid
from hfi_core.tls import Certificates
from hfi_sse.protocol import bound_writes, protocol
from hfi_sse.tls import live_context

#: Idle connections are kept longer than the filter's longest backoff (30 s), so that it does not meet one
#: that is being closed; 75 s is what nginx does.
KEEP_ALIVE_SECONDS = 75
#: Envoys come back all at once after a restart; the kernel caps this by net.core.somaxconn.
BACKLOG = 4096


class _Server(uvicorn.Server):
    """Leaves signals to the process, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            # How uvicorn says that the lifespan failed. It has logged why, and it must not end our process.
            raise SettingsInvalid("the HTTP application did not start; the log says why") from None
        self.listening.set()


class HttpServer:
    """Serves an application on a TCP address.

    ``stopping`` is set before connections are drained: it is the event in the application's
    :class:`~hfi_sse.services.Services`, by which its streams end. ``grace_seconds`` bounds the draining.
    ``certificates`` make it TLS; without them it is plaintext. A client that takes nothing for
    ``write_timeout_seconds`` loses its connection, and is counted in ``registry``.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        stopping: asyncio.Event,
        grace_seconds: float = 5.0,
        certificates: Certificates | None = None,
        write_timeout_seconds: float = 20.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        slow = Counter(
            "hfi_http_slow_clients",
            "Connections that ended because the client did not read.",
            registry=registry or CollectorRegistry(),
        )
        self._write_timeout_seconds = write_timeout_seconds
        self._host = host
        self._port = port
        self._stopping = stopping
        config = uvicorn.Config(
            app,
            http=protocol(certificates, slow.inc),
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(grace_seconds)),
        )
        if certificates is not None:
            # uvicorn's own options name files, which it would read once.
            config.load()
            config.ssl = live_context(certificates)
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen, and answer the port (that the system chose, when it was 0).

        Raises :class:`~hfi_core.errors.SettingsInvalid` when the address cannot be listened on, or the
        application's lifespan fails.
        """
        listener = await asyncio.to_thread(_listen, self._host, self._port)
        bound_writes(listener, self._write_timeout_seconds)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        listening = asyncio.create_task(self._server.listening.wait())
        try:
            await asyncio.wait({self._serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if self._serving.done():
            failed, self._serving = self._serving, None
            listener.close()
            failed.result()
        port: int = listener.getsockname()[1]
        return port

    async def stop(self) -> None:
        """End the streams, drain, close. Safe to call twice, and without a start."""
        self._stopping.set()
        if self._serving is None:
            return
        self._server.should_exit = True
        serving, self._serving = self._serving, None
        await serving
        for connection in list(self._server.server_state.connections):
            # What is left has not read its answer within the grace.
            connection.transport.abort()


def _listen(host: str, port: int) -> socket.socket:
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise SettingsInvalid(
            f"cannot listen on {host}:{port} ({error.strerror or error}); give another address for HTTP"
        ) from error
    return listener
