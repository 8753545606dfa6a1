"""Where an etcd is, and how to be let in. Values only: nothing is read or connected here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from hfi_core.errors import SettingsInvalid


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One member of the cluster: ``target`` is ``host:port`` as gRPC takes it."""

    target: str
    tls: bool


def parse_endpoint(text: str, *, tls_by_default: bool = False) -> Endpoint:
    """``http://host:port``, ``https://host:port`` or ``host:port``. Raises :class:`SettingsInvalid`."""
    if "@" in text:
        raise SettingsInvalid("an etcd endpoint holds no user or password: set them on their own")
    try:
        url = urlsplit(text if "://" in text else f"//{text}")
        good = url.scheme in ("", "http", "https") and url.hostname and url.port and url.path in ("", "/")
    except ValueError:  # Brackets without an IPv6 address between them, a port that is no number.
        good = False
    if not good or url.query or url.fragment or any(map(str.isspace, text)):
        raise SettingsInvalid(f"etcd endpoint {text!r}: write http://host:port, https://host:port or host:port")
    return Endpoint(url.netloc, url.scheme == "https" or (not url.scheme and tls_by_default))


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """How to reach an etcd. Raises :class:`~hfi_core.errors.SettingsInvalid` when it does not make sense.

    The password is in no ``repr``. Defaults are tested, as a promise.
    """

    endpoints: tuple[str, ...] = ("http://127.0.0.1:2379",)
    """Members of one cluster, in the order they are tried. Without a scheme: TLS when ``ca`` or ``cert`` is set."""
    ca: Path | None = None
    """PEM of the authorities that sign the members' certificates; None: those that gRPC trusts."""
    cert: Path | None = None
    """PEM of the client's certificate (chain), with ``key``."""
    key: Path | None = None
    """PEM of the client certificate's private key."""
    user: str | None = None
    """For an etcd with authentication, with ``password``."""
    password: str | None = field(default=None, repr=False)
    prefix: str = "/hfi/policies/"
    """What a policy's key begins with. Several HFIs can share an etcd by prefixes of their own; other documents than
    policies lie beside it (:meth:`beside`), so what is before its last part must be theirs as well."""
    epoch_key: str = "/hfi/epoch"
    """Where the store's random name lies; outside ``prefix``."""
    attempt_seconds: float = 2.0
    """One attempt at one member; then the next member is asked."""
    request_seconds: float = 5.0
    """A whole request with all its attempts; then it is :class:`~hfi_core.errors.StoreUnavailable`."""
    heartbeat_seconds: float = 5.0
    """A quiet watch asks etcd for a sign of life so often."""
    hung_seconds: float = 10.0
    """A watch that has heard nothing for so long, though it asked, connects again."""
    page_size: int = 500
    """Keys in one page of a listing."""

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise SettingsInvalid("name at least one etcd endpoint")
        if (self.cert is None) != (self.key is None):
            raise SettingsInvalid("a client certificate and its key go together: set both or neither")
        if (self.user is None) != (self.password is None):
            raise SettingsInvalid("etcd's user and password go together: set both or neither")
        tls = {endpoint.tls for endpoint in self.parsed_endpoints}
        if True not in tls and (self.ca or self.cert):
            raise SettingsInvalid("certificates are set, but every etcd endpoint says http://: write https://")
        if not (self.prefix.startswith("/") and self.prefix.endswith("/") and len(self.prefix) > 1):
            raise SettingsInvalid(f"the prefix {self.prefix!r} must begin and end with a slash")
        if not self.epoch_key or self.epoch_key.startswith(self.prefix):
            raise SettingsInvalid(f"the epoch key {self.epoch_key!r} must lie outside the prefix {self.prefix!r}")
        times = (self.attempt_seconds, self.request_seconds, self.heartbeat_seconds, self.hung_seconds)
        if min(times) <= 0 or self.hung_seconds <= self.heartbeat_seconds:
            raise SettingsInvalid("etcd's times must be above 0, and hung_seconds above heartbeat_seconds")
        if self.page_size < 1:
            raise SettingsInvalid("page_size must be at least 1")

    def beside(self, room: str) -> EtcdSettings:
        """The same etcd, with keys for documents of another kind: ``/hfi/policies/`` becomes ``/hfi/<room>/``."""
        above, _, last = self.prefix[:-1].rpartition("/")
        # A prefix of one part is nobody's but its own: what is above it may be others'.
        return replace(self, prefix=f"{above}/{room}/" if above else f"/{last}.{room}/")

    @property
    def parsed_endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints, read."""
        tls = self.ca is not None or self.cert is not None
        return tuple(parse_endpoint(text, tls_by_default=tls) for text in self.endpoints)
