"""One connection of the HTTP side: uvicorn's own protocol, and what it does not tell or do.

* A request says whose connection it came by.
* A connection from before the newest certificates is let go with its next answer.
* A client that does not read is noticed: the kernel ends its connection (``TCP_USER_TIMEOUT``, which the listener hands
  down), whatever is being sent, and over TLS as well.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hfi_core.tls import Certificates, Peer, TlsMaterial
from hfi_sse.tls import SCOPE_KEY, peer_of


class HttpProtocol(HttpToolsProtocol):
    """:func:`protocol` makes it: uvicorn makes one for each connection, and has no place for what it needs."""

    certificates: ClassVar[Certificates | None] = None
    #: Told of each client that has not read for too long.
    slow: ClassVar[Callable[[], None]]
    _peer: Peer | None = None
    _material: TlsMaterial | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """asyncio's; the handshake is over by now."""
        self._material = self._newest()
        self._peer = peer_of(transport.get_extra_info("peercert"))
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's."""
        if isinstance(exc, TimeoutError):
            type(self).slow()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """httptools'; the scope is made here."""
        super().on_message_begin()
        self.scope[SCOPE_KEY] = self._peer  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """httptools'; the request is given to the application here."""
        super().on_headers_complete()
        if self._material is not self._newest():
            # It is answered, with "connection: close". Else a proxy's one connection would be used for ever, and who
            # came by an authority that is no more would stay.
            self.cycle.keep_alive = False

    def _newest(self) -> TlsMaterial | None:
        return self.certificates.current if self.certificates else None


def protocol(certificates: Certificates | None, slow: Callable[[], None]) -> type[HttpProtocol]:
    """For one server."""
    return type("HttpProtocol", (HttpProtocol,), {"certificates": certificates, "slow": staticmethod(slow)})


def bound_writes(listener: socket.socket, seconds: float) -> None:
    """Have the kernel end connections whose client takes nothing for so long (Linux; elsewhere it does nothing)."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, max(1, round(seconds * 1000)))
