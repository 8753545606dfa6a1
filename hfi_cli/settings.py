"""What ``hfi-cli serve`` can be told, as validated values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from hfi_cli.choices import StoreKind
from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid
from hfi_core.modules.filter_config import FilterConfig
from hfi_core.store.settings import EtcdSettings
from hfi_core.tls import NodeNames, NodePattern, TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Which store; ``data_dir`` is the embedded etcd's, ``etcd`` says where another one is."""

    kind: StoreKind = StoreKind.embedded
    data_dir: Path = Path("hfi-data")
    etcd: EtcdSettings | None = None

    @classmethod
    def of(
        cls,
        kind: StoreKind,
        data_dir: Path,
        endpoints: Sequence[str] = (),
        *,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        user: str | None = None,
        password: str | None = None,
    ) -> Self:
        """From the options of the command line. Raises :class:`~hfi_core.errors.SettingsInvalid`.

        The password counts only with a user: an environment that is shared may hold one for others.
        """
        given = {"--etcd": endpoints, "--etcd-ca": ca, "--etcd-cert": cert, "--etcd-key": key, "--etcd-user": user}
        if kind is not StoreKind.etcd:
            misplaced = [flag for flag, value in given.items() if value]
            if misplaced:
                raise SettingsInvalid(f"{', '.join(misplaced)}: only --store etcd reads this, and --store is {kind}")
            return cls(kind=kind, data_dir=data_dir)
        if not endpoints:
            raise SettingsInvalid("--store etcd needs --etcd URL, such as --etcd http://127.0.0.1:2379")
        if user is not None and password is None:
            raise SettingsInvalid("--etcd-user needs its password, in the environment variable HFI_ETCD_PASSWORD")
        for file in (ca, cert, key):
            if file is not None and not file.is_file():
                raise SettingsInvalid(f"there is no file {file}")
        etcd = EtcdSettings(
            endpoints=tuple(endpoints), ca=ca, cert=cert, key=key, user=user, password=password if user else None
        )
        return cls(kind=kind, data_dir=data_dir, etcd=etcd)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS of both servers. ``nodes``: whose certificate may be which node; None where clients need no certificate."""

    files: TlsFiles
    nodes: NodeNames | None = None

    @classmethod
    def of(
        cls, cert: Path | None, key: Path | None, client_ca: Path | None = None, patterns: Sequence[str] = ()
    ) -> Self | None:
        """From the options of the command line; None without any. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
        if cert is None or key is None:
            given = {"--tls-cert": cert, "--tls-key": key, "--client-ca": client_ca, "--node-pattern": patterns}
            alone = [flag for flag, value in given.items() if value]
            if alone:
                raise SettingsInvalid(f"{', '.join(alone)}: TLS needs --tls-cert and --tls-key, both of them")
            return None
        if client_ca is None:
            if patterns:
                raise SettingsInvalid("--node-pattern is about clients' certificates, and those need --client-ca")
            return cls(files=TlsFiles(cert, key))
        return cls(
            files=TlsFiles(cert, key, client_ca), nodes=NodeNames(tuple(NodePattern.parse(text) for text in patterns))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may cost, of HTTP and of xDS each. ``write_timeout``: seconds in which a client must take data."""

    streams: int = 10_000
    node_streams: int = 32
    message_bytes: int = 4 << 20
    write_timeout: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Everything the composition root needs.

    Without ``tls`` it is plaintext, and ``insecure`` says that this is meant beyond this machine, too.
    ``resource_ttl_seconds``: for how long an Envoy keeps the filter without word from here; 0: for ever.
    """

    http: Address
    xds: Address
    store: StoreSettings = field(default_factory=StoreSettings)
    filter: FilterConfig = field(default_factory=FilterConfig)
    insecure: bool = False
    tls: TlsSettings | None = None
    limits: Limits = field(default_factory=Limits)
    resource_ttl_seconds: float = 0

    def __post_init__(self) -> None:
        for flag, address in (("--http", self.http), ("--xds", self.xds)):
            if not address.is_loopback and self.tls is None and not self.insecure:
                raise SettingsInvalid(
                    f"{flag} {address} could be reached from other machines, in plaintext and by anybody: give "
                    "--tls-cert, --tls-key and --client-ca (hfi-cli certs makes some to try it out), or --insecure "
                    "if the network around it keeps others out"
                )
        if self.tls is not None and self.insecure:
            raise SettingsInvalid("--insecure is for plaintext, and --tls-cert is given: which one is meant?")


def filter_settings(max_staleness_seconds: int, probe_paths: Sequence[str]) -> FilterConfig:
    """What every proxy's filter is started with. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    try:
        return FilterConfig(max_staleness_seconds=max_staleness_seconds, probe_paths=tuple(probe_paths))
    except ValidationError as error:
        flags = {"max_staleness_seconds": "--max-staleness", "probe_paths": "--probe-path"}
        text = "; ".join(f"{flags[str(item['loc'][0])]}: {item['msg']}" for item in error.errors())
        raise SettingsInvalid(text) from error
