"""An authority and what it signs, as PEM. Pure but for the randomness of keys and serial numbers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hfi_core.errors import SettingsInvalid

#: Certificates begin so long before they are made, for clocks that are late.
EARLY = timedelta(minutes=5)
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.~]*[A-Za-z0-9])?")


class Usage(Enum):
    """What a certificate is for."""

    SERVER = ExtendedKeyUsageOID.SERVER_AUTH
    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, in PEM."""

    cert: bytes
    key: bytes


class Authority:
    """Signs. Made by :meth:`create`, or of an earlier one's pair."""

    def __init__(self, pair: Pair) -> None:
        """Raises :class:`~hfi_core.errors.SettingsInvalid` when it is no EC authority."""
        self.pair = pair
        try:
            self._cert = x509.load_pem_x509_certificate(pair.cert)
            key = serialization.load_pem_private_key(pair.key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SettingsInvalid(f"the authority cannot be read: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._cert.public_key():
            raise SettingsInvalid("the authority's key is not that of its certificate, or none of those made here")
        self._key = key

    @classmethod
    def create(cls, now: datetime, days: int) -> Authority:
        """A new one, good for so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "HFI trial authority")])
        usage = {"key_cert_sign": True, "crl_sign": True}
        cert = (
            _builder(name, name, key, now, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(**usage), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(_pair(cert, key))

    def issue(self, subject: str, names: Iterable[str], usage: Usage, now: datetime, days: int) -> Pair:
        """A certificate for these names, not longer than the authority itself.

        Raises :class:`~hfi_core.errors.SettingsInvalid` for a name that no certificate can carry, and when the
        authority has expired.
        """
        left = (self._cert.not_valid_after_utc - now).days
        if left < 1:
            raise SettingsInvalid("the authority has expired; make another one in an empty directory")
        key = ec.generate_private_key(ec.SECP256R1())
        common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
        builder = (
            _builder(common, self._cert.subject, key, now, min(days, left))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage.value]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        alternatives = [general_name(name) for name in names]
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return _pair(builder.sign(self._key, hashes.SHA256()), key)


def general_name(text: str) -> x509.GeneralName:
    """As an IP address, a URI, or a DNS name. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if re.fullmatch(r"[a-z][-a-z0-9+.]*://[!-~]+", text):
        return x509.UniformResourceIdentifier(text)
    if _NAME.fullmatch(text):
        return x509.DNSName(text)
    raise SettingsInvalid(
        f"{text!r} cannot stand in a certificate: a DNS name, an IP address or a URI such as "
        "spiffe://example.org/checkout-1 can; for other node ids there is serve --node-pattern"
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(**wanted: bool) -> x509.KeyUsage:
    names = [
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ]
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _pair(cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        cert.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
