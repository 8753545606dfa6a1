"""The certificates as gRPC wants them: asked for at each handshake, so that a new one needs no new server."""

from __future__ import annotations

from typing import Any

import grpc

from hfi_core.tls import Certificates, Peer, TlsMaterial


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """For one server: what it has been given is remembered for it alone."""
    given = certificates.current

    def newer() -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this in a thread of its own, and takes None for "as before".
        nonlocal given
        if certificates.current is given:
            return None
        given = certificates.current
        return _configuration(given)

    return grpc.dynamic_ssl_server_credentials(_configuration(given), newer, certificates.mutual)  # type: ignore[arg-type]  # stubs


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.client_ca)


def peer_of(context: Any) -> Peer:
    """Whose call it is, by certificate; without one, a peer of no name."""
    found = context.auth_context()
    return Peer.of(
        (name.decode(errors="replace") for name in found.get("peer_dns", ())),
        (name.decode(errors="replace") for name in found.get("peer_uri", ())),
    )
