"""``hfi-cli certs``: openssl is the witness."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hfi_cli.certs import directory
from hfi_cli.certs.issue import Authority, Pair, Usage
from hfi_core.errors import SettingsInvalid
from tests.unit.cli.conftest import Run

NOW = datetime.now(UTC)


def openssl(*arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_what_it_makes_holds_together(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "certs"
    node = "spiffe://example.org/ns/shop/sa/checkout"
    result = run(
        *("certs", "--dir", str(place), "--host", "hfi.test", "--host", "10.0.0.1"),
        *("--node", "checkout-1", "--node", node, "--days", "3"),
    )
    stems = ["ca", "server", "client", "checkout-1", "example.org_ns_shop_sa_checkout"]
    assert (result.exit_code, result.stdout.split()) == (0, [str(place / f"{stem}.pem") for stem in stems])
    assert {path.name for path in place.iterdir()} == {f"{s}{k}.pem" for s in stems for k in ("", "-key")}
    assert all((path.stat().st_mode & 0o777) == (0o600 if "-key" in path.name else 0o644) for path in place.iterdir())
    ca = ("-CAfile", str(place / "ca.pem"))
    assert openssl("verify", *ca, "-purpose", "sslserver", "-verify_hostname", "hfi.test", str(place / "server.pem"))
    assert openssl("verify", *ca, "-purpose", "sslserver", "-verify_ip", "10.0.0.1", str(place / "server.pem"))
    for stem in stems[2:]:
        assert openssl("verify", *ca, "-x509_strict", "-purpose", "sslclient", str(place / f"{stem}.pem"))
    names = ("x509", "-noout", "-ext", "subjectAltName", "-in")
    assert "DNS:checkout-1\n" in openssl(*names, str(place / "checkout-1.pem"))
    assert f"URI:{node}\n" in openssl(*names, str(place / f"{stems[-1]}.pem"))


def test_the_authority_stays_and_the_rest_is_new(run: Run, tmp_path: Path) -> None:
    assert run("certs", "--dir", str(tmp_path), "--node", "a").exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run("certs", "--dir", str(tmp_path), "--node", "b").exit_code == 0
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name for name in before if before[name] == after[name]} == {"ca.pem", "ca-key.pem", "a.pem", "a-key.pem"}
    assert openssl("verify", "-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "b.pem"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--node", "a/b"], "--node-pattern"),
        (["--node", "größe"], "cannot stand in a certificate"),
        (["--host", "a b"], "cannot stand in a certificate"),
        (["--node", "server"], "server.pem"),
        (["--node", "a", "--node", "a"], "a.pem"),
    ],
)
def test_refuses_what_no_certificate_can_hold(run: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    result = run("certs", "--dir", str(tmp_path), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr.replace("\n", " ")


def test_refuses_half_an_authority_and_one_that_is_no_more(tmp_path: Path) -> None:
    directory.make(tmp_path, ["localhost"], [], NOW, 1)
    with pytest.raises(SettingsInvalid, match="has expired"):
        directory.make(tmp_path, ["localhost"], [], NOW + timedelta(days=10), 1)
    (tmp_path / "ca-key.pem").write_bytes((tmp_path / "server-key.pem").read_bytes())
    with pytest.raises(SettingsInvalid, match="not that of its certificate"):
        directory.make(tmp_path, ["localhost"], [], NOW, 1)
    (tmp_path / "ca-key.pem").write_bytes(b"")
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        directory.make(tmp_path, ["localhost"], [], NOW, 1)
    (tmp_path / "ca-key.pem").unlink()
    with pytest.raises(SettingsInvalid, match="there is only one"):
        directory.make(tmp_path, ["localhost"], [], NOW, 1)
    with pytest.raises(SettingsInvalid, match="Not a directory"):
        directory.make(tmp_path / "ca.pem" / "x", ["localhost"], [], NOW, 1)


def test_nothing_outlives_its_authority() -> None:
    authority = Authority.create(NOW, 2)
    pair = authority.issue("x", [], Usage.CLIENT, NOW, 30)
    assert isinstance(pair, Pair)
    from cryptography import x509

    found = x509.load_pem_x509_certificate(pair.cert)
    assert found.not_valid_after_utc <= x509.load_pem_x509_certificate(authority.pair.cert).not_valid_after_utc
