"""Whom a client believes to be its control plane, and how it shows who it is itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hfi_core.errors import SettingsInvalid

if TYPE_CHECKING:
    import ssl

#: The variables of the environment that say the same as --ca, --cert and --key.
CA, CERT, KEY = "HFI_CA", "HFI_CERT", "HFI_KEY"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files. Without ``ca``, the authorities of this machine are believed; with it, that one alone.

    Raises :class:`~hfi_core.errors.SettingsInvalid` when half of a pair is missing.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise SettingsInvalid("--cert and --key belong together: a certificate without its key proves nothing")

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Self:
        """As the variables say it; an empty one is none."""
        ca, cert, key = (Path(environment[name]) if environment.get(name) else None for name in (CA, CERT, KEY))
        return cls(ca, cert, key)

    def __bool__(self) -> bool:
        return any((self.ca, self.cert))

    def context(self) -> ssl.SSLContext:
        """For connections. Raises :class:`~hfi_core.errors.SettingsInvalid` when a file is no good."""
        import ssl

        try:
            made = ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:
            raise SettingsInvalid(f"{self.ca} holds no CA certificates in PEM: {error}") from error
        if self.cert is not None and self.key is not None:
            try:
                made.load_cert_chain(self.cert, self.key, password="")
            except (OSError, ValueError) as error:
                from hfi_core.tls.checks import pair_trouble

                raise SettingsInvalid(pair_trouble(self.cert, self.key, error)) from error
        return made
