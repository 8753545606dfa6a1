"""The files: what is good is taken, and nothing else."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from prometheus_client import CollectorRegistry

from hfi_cli.certs import directory
from hfi_core.errors import SettingsInvalid
from hfi_core.tls import Certificates, TlsFiles
from hfi_core.tls.collector import TlsCollector
from hfi_core.tls.material import load

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    directory.make(tmp_path, ["localhost"], ["n1"], NOW, 30)
    return TlsFiles(tmp_path / "server.pem", tmp_path / "server-key.pem", tmp_path / "ca.pem")


def serial(chain: bytes) -> int:
    return x509.load_pem_x509_certificate(chain).serial_number


def test_what_is_good_is_taken_whole(files: TlsFiles) -> None:
    material = load(files, NOW)
    assert (material.chain, material.key) == (files.cert.read_bytes(), files.key.read_bytes())
    assert files.client_ca is not None
    assert material.client_ca == files.client_ca.read_bytes()
    assert material.not_after == NOW + timedelta(days=30)
    assert material.context.verify_mode is ssl.CERT_REQUIRED
    assert material.context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert load(replace(files, client_ca=None), NOW).context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    ("which", "content", "told"),
    [
        ("server.pem", None, "server.pem cannot be read: No such file"),
        ("ca.pem", None, "ca.pem cannot be read: No such file"),
        ("server.pem", b"", "server.pem holds no certificate in PEM"),
        ("server.pem", "server-key.pem", "server.pem holds no certificate in PEM"),
        ("server-key.pem", b"nonsense", "server-key.pem holds no private key in PEM"),
        ("server-key.pem", "server.pem", "server-key.pem holds no private key in PEM"),
        ("ca.pem", b"", "holds no CA certificates"),
        ("server-key.pem", "n1-key.pem", "server-key.pem is not that of the certificate in .*only one of the two new"),
        ("server-key.pem", "encrypted", "server-key.pem is encrypted, and nobody is there"),
    ],
)
def test_what_is_not_good_is_named(files: TlsFiles, which: str, content: object, told: str) -> None:
    place = files.cert.parent
    match content:
        case None:
            (place / which).unlink()
        case bytes():
            (place / which).write_bytes(content)
        case "encrypted":
            key = s.load_pem_private_key(files.key.read_bytes(), None)
            (place / which).write_bytes(
                key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret"))
            )
        case _:
            (place / which).write_bytes((place / str(content)).read_bytes())
    with pytest.raises(SettingsInvalid, match=told) as refused:
        load(files, NOW)
    assert "PRIVATE" not in str(refused.value)


def test_an_expired_certificate_is_no_good(files: TlsFiles) -> None:
    with pytest.raises(SettingsInvalid, match="has expired, on 2026-01-31"):
        load(files, NOW + timedelta(days=30))


def test_a_certificate_that_is_not_good_yet_is_no_good(files: TlsFiles) -> None:
    with pytest.raises(SettingsInvalid, match=r"is not good before 2025-12-31 23:55:00 UTC; is this machine's clock"):
        load(files, NOW - timedelta(hours=1))


AUTHORITIES: list[tuple[list[tuple[int, int]], str | None]] = [
    ([(-2, 5)], None),
    ([(-9, -2), (-2, 5)], None),
    ([(1, 9), (-2, 5)], None),
    ([(-9, -2), (-9, -3)], "have expired, the last of them on 2025-12-30"),
    ([(2, 9), (1, 3), (-9, -2)], "not good before 2026-01-02 00:00:00 UTC"),
]


@pytest.mark.parametrize(("lives", "told"), AUTHORITIES)
def test_one_authority_of_clients_must_be_good(files: TlsFiles, lives: list[tuple[int, int]], told: str | None) -> None:
    """``lives`` are in days from now."""
    assert files.client_ca is not None
    files.client_ca.write_bytes(b"".join(signed(ec.generate_private_key(ec.SECP256R1()), *life)[0] for life in lives))
    if told is None:
        assert load(files, NOW).clients_not_after == NOW + timedelta(days=5)
    else:
        with pytest.raises(SettingsInvalid, match=told):
            load(files, NOW)


@pytest.mark.parametrize(
    ("key", "good"),
    [
        (rsa.generate_private_key(65537, 2048), True),
        (ec.generate_private_key(ec.SECP521R1()), True),
        (ed25519.Ed25519PrivateKey.generate(), True),
        (ec.generate_private_key(ec.BrainpoolP256R1()), False),
        (ec.generate_private_key(ec.SECP256K1()), False),
    ],
    ids=["rsa", "p521", "ed25519", "brainpool", "secp256k1"],
)
def test_a_key_must_be_one_that_both_servers_can_use(files: TlsFiles, key: Key, good: bool) -> None:
    cert, private = signed(key, -1, 30)
    files.cert.write_bytes(cert)
    files.key.write_bytes(private)
    if good:
        assert load(files, NOW).not_after == NOW + timedelta(days=30)
    else:
        with pytest.raises(SettingsInvalid, match=r"has a key that not every client takes; RSA, P-256"):
            load(files, NOW)


def signed(key: Key, begins: int, ends: int) -> tuple[bytes, bytes]:
    """A certificate that has signed itself, and its key; days from now."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    certificate = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return certificate.public_bytes(s.Encoding.PEM), private


def test_new_files_are_taken_and_counted(files: TlsFiles) -> None:
    certificates = Certificates(files, lambda: NOW)
    before = certificates.current
    certificates.look()
    assert certificates.current is before
    directory.make(files.cert.parent, ["localhost"], [], NOW, 60)
    certificates.look()
    assert serial(certificates.current.chain) == serial(files.cert.read_bytes()) != serial(before.chain)
    assert certificates.loads == {"loaded": 1, "refused": 0}
    registry = CollectorRegistry()
    registry.register(TlsCollector(certificates))
    until = (NOW + timedelta(days=60)).timestamp()
    assert registry.get_sample_value("hfi_tls_expiry_timestamp_seconds") == until
    assert registry.get_sample_value("hfi_tls_reloads_total", {"result": "loaded"}) == 1


def test_a_broken_file_keeps_the_old_one_is_told_once_and_mended(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(files, lambda: NOW)
    before, key = certificates.current, files.key.read_bytes()
    files.key.write_bytes(b"half a file")
    certificates.look()
    assert caplog.text == ""  # The rest may be on its way.
    for _ in range(3):
        certificates.look()
    assert certificates.current is before
    assert certificates.loads == {"loaded": 0, "refused": 1}
    assert caplog.text.count("the old ones go on") == 1
    files.key.unlink()
    certificates.look()
    certificates.look()
    assert "server-key.pem cannot be read" in caplog.text
    files.key.write_bytes(key)
    certificates.look()
    assert certificates.current is not before
    assert certificates.loads == {"loaded": 1, "refused": 2}


def test_what_is_not_good_yet_is_told_once_and_taken_when_it_is(
    files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    now = NOW
    certificates = Certificates(files, lambda: now)
    before = certificates.current
    cert, key = signed(ec.generate_private_key(ec.SECP256R1()), 1, 60)
    files.cert.write_bytes(cert)
    files.key.write_bytes(key)
    for hours in range(24):
        now = NOW + timedelta(hours=hours)
        certificates.look()
    assert certificates.current is before
    assert caplog.text.count("the old ones go on") == 1
    assert "is not good before 2026-01-02 00:00:00 UTC" in caplog.text
    now = NOW + timedelta(days=1)
    certificates.look()
    assert certificates.current.chain == cert
    assert certificates.loads == {"loaded": 1, "refused": 1}
    certificates.look()
    assert certificates.loads["loaded"] == 1


def test_files_that_are_replaced_one_by_one_are_no_mistake(
    files: TlsFiles, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    certificates = Certificates(files, lambda: NOW)
    other = tmp_path_factory.mktemp("other")
    directory.make(other, ["localhost"], [], NOW, 30)
    files.cert.write_bytes((other / "server.pem").read_bytes())
    certificates.look()
    files.key.write_bytes((other / "server-key.pem").read_bytes())
    certificates.look()
    assert certificates.loads == {"loaded": 1, "refused": 0}
    assert "go on" not in caplog.text


def test_an_end_that_is_near_is_told_once_a_day(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    now = NOW
    certificates = Certificates(files, lambda: now)
    certificates.look()
    assert caplog.text == ""
    for day in (24, 24.5, 25.1, 30.5):
        now = NOW + timedelta(days=day)
        certificates.look()
    assert [record.getMessage().count("has expired") for record in caplog.records] == [0, 0, 1]
    assert certificates.loads == {"loaded": 0, "refused": 0}


def test_the_end_of_the_clients_authority_is_told_too(files: TlsFiles, caplog: pytest.LogCaptureFixture) -> None:
    now = NOW
    certificates = Certificates(files, lambda: now)
    for day in (290, 294, 301):
        now = NOW + timedelta(days=day)
        certificates.look()
    told = [record.getMessage() for record in caplog.records if "ca.pem" in record.getMessage()]
    assert [message.partition(" (")[0] for message in told] == [
        f"the last authority in {files.client_ca} expires",
        f"the last authority in {files.client_ca} has expired: no client is let in",
    ]
