"""The files: what is good is taken, and nothing else."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry

from hfi_cli.certs import directory
from hfi_core.errors import SettingsInvalid
from hfi_core.tls import Certificates, TlsFiles
from hfi_core.tls.collector import TlsCollector
from hfi_core.tls.material import load

NOW = datetime(2026, 1, 1, tzinfo=UTC)


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
        ("server.pem", b"", "no certificate in PEM with its key"),
        ("server-key.pem", b"nonsense", "no certificate in PEM with its key"),
        ("ca.pem", b"", "holds no CA certificates"),
        ("server-key.pem", "n1-key.pem", "no certificate in PEM with its key"),
        ("server-key.pem", "encrypted", "unencrypted"),
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
            from cryptography.hazmat.primitives import serialization as s

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
