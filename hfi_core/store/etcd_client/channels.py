"""Connections to the members of a cluster: one channel each, made when first used, and a favourite."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
from grpc import aio

from hfi_core.errors import SettingsInvalid, StoreUnavailable
from hfi_core.store.settings import Endpoint, EtcdSettings

#: etcd counts pings oftener than every 5 s, or without an open stream, as an attack
#: (--grpc-keepalive-min-time); a dead peer is noticed after 15 s at most. Sizes: etcd bounds a request, not an
#: answer, and gRPC's own bound of 4 MB would make a large listing unreadable. A cluster is never behind an
#: HTTP proxy, which gRPC would otherwise take from the environment, for loopback addresses too.
OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)


def _read(path: Path | None, what: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"etcd's {what} {path} cannot be read: {error.strerror}") from error


def _check(settings: EtcdSettings) -> None:
    # gRPC says of a file that it cannot use only that it has no handshaker, and that at the first call.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if settings.ca is not None:
            context.load_verify_locations(settings.ca)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsInvalid(f"etcd's CA certificate {settings.ca} is not a PEM certificate: {error}") from error
    try:
        if settings.cert is not None:
            # The password is for a key that is encrypted: OpenSSL would ask for it on the terminal.
            context.load_cert_chain(settings.cert, settings.key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise SettingsInvalid(
            f"etcd's client certificate {settings.cert} and key {settings.key} cannot be used: both must be PEM, "
            f"belong together, and the key not be encrypted: {error}"
        ) from error


def credentials(settings: EtcdSettings) -> grpc.ChannelCredentials:
    """For TLS, read from the settings' files. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    read = grpc.ssl_channel_credentials(
        root_certificates=_read(settings.ca, "CA certificate"),
        private_key=_read(settings.key, "client key"),
        certificate_chain=_read(settings.cert, "client certificate"),
    )
    _check(settings)
    return read


class Channels:
    """The members in their order. ``favourite`` is the one that answered last."""

    def __init__(self, settings: EtcdSettings) -> None:
        self.endpoints = settings.parsed_endpoints
        self._credentials = credentials(settings) if any(endpoint.tls for endpoint in self.endpoints) else None
        self._channels: dict[int, aio.Channel] = {}
        self._closed = False
        # gRPC gives up a connection that is not ready after this (or the backoff, when that is longer), and
        # its own default is 20 s. Less than an attempt, and a cluster that is far away could never be reached.
        self._options = (*OPTIONS, ("grpc.min_reconnect_backoff_ms", int(settings.attempt_seconds * 1000)))
        self.favourite = 0

    def __len__(self) -> int:
        return len(self.endpoints)

    def after(self, index: int) -> int:
        """The member to ask when that one fails."""
        return (index + 1) % len(self.endpoints)

    def failed(self, index: int) -> None:
        """That member does not answer. Many requests may say so at once; the favourite moves on by one."""
        if self.favourite == index:
            self.favourite = self.after(index)

    def target(self, index: int) -> str:
        """Its address, for messages to people."""
        return self.endpoints[index].target

    def channel(self, index: int) -> aio.Channel:
        """The member's channel. Must be called inside the event loop that uses it.

        Raises :class:`~hfi_core.errors.StoreUnavailable` after :meth:`close`.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if index not in self._channels:
            self._channels[index] = self._open(self.endpoints[index])
        return self._channels[index]

    def _open(self, endpoint: Endpoint) -> aio.Channel:
        if endpoint.tls:
            assert self._credentials is not None
            return aio.secure_channel(endpoint.target, self._credentials, options=self._options)
        return aio.insecure_channel(endpoint.target, options=self._options)

    async def close(self) -> None:
        """Close them all; what is under way is cancelled."""
        self._closed = True
        while self._channels:
            _, channel = self._channels.popitem()
            await channel.close(grace=None)
