"""Certificate, key and client CA of a server, read and checked as a whole.

Three files that belong together are rarely replaced in one step. So they count only when they are the same before and
after they were checked, and when OpenSSL takes them together.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hfi_core.errors import SettingsInvalid
from hfi_core.tls.checks import clients_life, pair_trouble, server_life, words


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. ``cert`` holds the server's certificate and the intermediate ones behind it; with ``client_ca``,
    clients need a certificate that one of its authorities has signed."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that there is."""
        return (self.cert, self.key, *([self.client_ca] if self.client_ca else []))

    def signature(self) -> tuple[object, ...]:
        """What differs as soon as one of them is another one, or gone. Links are followed, as Kubernetes needs it."""
        return tuple(_stat(path) for path in self.all)


@dataclass(frozen=True, slots=True, eq=False)
class TlsMaterial:
    """What the files hold. ``context`` is for servers of Python's own ``ssl``; ``not_after`` is when the server's
    certificate expires, and ``clients_not_after`` when the last authority of clients does (None: it does not say).
    Each reading is a value of its own: compare by identity."""

    chain: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext
    not_after: datetime
    clients_not_after: datetime | None = None


def load(files: TlsFiles, now: datetime) -> TlsMaterial:
    """Read and check. Raises :class:`~hfi_core.errors.SettingsInvalid`, which names the file and never its content."""
    before = _read(files)
    context = server_context(mutual=files.client_ca is not None)
    try:
        # An empty password, so that a key that needs one is an error and not a question on the terminal.
        context.load_cert_chain(files.cert, files.key, password="")
    except (OSError, ValueError) as error:
        raise SettingsInvalid(pair_trouble(files.cert, files.key, error)) from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise SettingsInvalid(f"{files.client_ca} holds no CA certificates in PEM: {words(error)}") from error
    if _read(files) != before:
        raise SettingsInvalid(f"{files.cert} or a file beside it was changed while it was read")
    chain, key, *rest = before
    own = server_life(files.cert, chain, now)
    clients = clients_life(files.client_ca, context, now) if files.client_ca is not None else None
    return TlsMaterial(
        chain, key, rest[0] if rest else None, context, own.ends, clients.ends if clients is not None else None
    )


def server_context(*, mutual: bool) -> ssl.SSLContext:
    """An empty context for a server. TLS 1.3, and no session is resumed: who has a session is not asked for the
    certificate again, and would outlive the CA that let it in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def _read(files: TlsFiles) -> list[bytes]:
    try:
        return [path.read_bytes() for path in files.all]
    except OSError as error:
        raise SettingsInvalid(f"{error.filename} cannot be read: {error.strerror}") from error


def _stat(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
