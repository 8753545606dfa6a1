"""What is wrong with certificates and keys, in words, and for how long they are good. Values in, words out."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import PublicKeyAlgorithmOID

from hfi_core.errors import SettingsInvalid

#: What both OpenSSL's TLS 1.3 and gRPC take. Another one would serve one of the two, or neither.
CURVES = ("secp256r1", "secp384r1", "secp521r1")
KEYS = "RSA, P-256, P-384, P-521 or Ed25519"


class NotYetValid(SettingsInvalid):
    """It will be good, from ``begins`` on."""

    def __init__(self, what: str, begins: datetime) -> None:
        self.begins = begins
        super().__init__(f"{what} not good before {begins:%Y-%m-%d %H:%M:%S} UTC; is this machine's clock right?")


@dataclass(frozen=True, slots=True)
class Life:
    """From when until when something is good."""

    begins: datetime
    ends: datetime


def server_life(path: Path, chain: bytes, now: datetime) -> Life:
    """That of the server's own certificate.

    Raises :class:`~hfi_core.errors.SettingsInvalid` when it cannot be served now.
    """
    certificate = x509.load_pem_x509_certificate(chain)
    if not _served(certificate):
        raise SettingsInvalid(f"the certificate in {path} has a key that not every client takes; {KEYS} would do")
    life = Life(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    if life.ends <= now:
        raise SettingsInvalid(f"the certificate in {path} has expired, on {life.ends:%Y-%m-%d %H:%M} UTC")
    if life.begins > now:
        raise NotYetValid(f"the certificate in {path} is", life.begins)
    return life


def clients_life(path: Path, context: ssl.SSLContext, now: datetime) -> Life | None:
    """The longest life among the authorities that ``context`` believes and that are good now; None: they do not say.

    Raises :class:`~hfi_core.errors.SettingsInvalid` when none of them is, for then no client could be let in.
    """
    lives = [Life(_time(found["notBefore"]), _time(found["notAfter"])) for found in context.get_ca_certs()]
    good = [life for life in lives if life.begins <= now < life.ends]
    if good or not lives:
        return max(good, key=lambda life: life.ends, default=None)
    coming = [life.begins for life in lives if now < life.begins]
    if coming:
        raise NotYetValid(f"the authorities in {path} are", min(coming))
    last = max(life.ends for life in lives)
    raise SettingsInvalid(f"the authorities in {path} have expired, the last of them on {last:%Y-%m-%d %H:%M} UTC")


def pair_trouble(cert: Path, key: Path, error: Exception) -> str:
    """Why OpenSSL does not take a certificate and its key together. Never says anything of what is in the key."""
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    except (OSError, ValueError):
        return f"{cert} holds no certificate in PEM"
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except TypeError:
        return f"the key in {key} is encrypted, and nobody is there to be asked for the password"
    except (OSError, ValueError, UnsupportedAlgorithm):
        return f"{key} holds no private key in PEM"
    try:
        if private.public_key() != certificate.public_key():
            return f"the key in {key} is not that of the certificate in {cert}: is only one of the two new?"
    except (ValueError, UnsupportedAlgorithm):
        pass
    return f"{cert} and {key} cannot be used: {words(error)}"


def words(error: Exception) -> str:
    """OpenSSL's, or the system's."""
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _served(certificate: x509.Certificate) -> bool:
    kind = certificate.public_key_algorithm_oid
    if kind == PublicKeyAlgorithmOID.EC_PUBLIC_KEY:
        try:
            key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm):
            return False
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES
    return kind in (PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5, PublicKeyAlgorithmOID.ED25519)


def _time(text: object) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(text)), UTC)
