"""TLS of the HTTP side: the newest certificates for each connection, and the names of its client."""

from __future__ import annotations

import ssl
from typing import Any

from starlette.requests import HTTPConnection

from hfi_core.tls import Certificates, Peer
from hfi_core.tls.material import server_context

#: Where in an ASGI scope the :class:`~hfi_core.tls.Peer` is.
SCOPE_KEY = "hfi.peer"


def live_context(certificates: Certificates) -> ssl.SSLContext:
    """A context that each connection leaves for the newest one, at its first message.

    The listener keeps the context that it began with, and authorities can be added to one but not taken away. OpenSSL
    asks here for every connection, whether the client names a server or not.
    """

    def newest(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = certificates.current.context

    context = server_context(mutual=certificates.mutual)
    context.sni_callback = newest
    return context


def peer(request: HTTPConnection) -> Peer | None:
    """Who has sent the request, by certificate; None when there is none."""
    found = request.scope.get(SCOPE_KEY)
    return found if isinstance(found, Peer) else None


def peer_of(certificate: dict[str, Any] | None) -> Peer | None:
    """From what ``ssl.SSLSocket.getpeercert`` answers: None or empty without a certificate."""
    if not certificate:
        return None
    names: list[tuple[str, str]] = list(certificate.get("subjectAltName", ()))
    return Peer.of((name for kind, name in names if kind == "DNS"), (name for kind, name in names if kind == "URI"))
