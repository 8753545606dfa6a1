from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hfi_cli.choices import StoreKind
from hfi_cli.runtime import make_store
from hfi_cli.settings import ServeSettings, StoreSettings, TlsSettings, filter_settings
from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid
from hfi_core.store.embedded import EmbeddedStore
from hfi_core.store.etcd import EtcdStore
from hfi_core.store.memory import MemoryStore
from hfi_core.tls import NodeNames, NodePattern, TlsFiles
from hfi_sse.services import HttpSettings
from hfi_xds.settings import XdsSettings

DATA = Path("data")
FILES = TlsFiles(Path("c"), Path("k"))


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    file = tmp_path / "x.pem"
    file.write_text("")
    return file


def test_defaults_are_promises() -> None:
    settings = ServeSettings(http=Address("127.0.0.1", 8080), xds=Address("127.0.0.1", 18000))
    assert settings.store == StoreSettings(kind=StoreKind.embedded, data_dir=Path("hfi-data"), etcd=None)
    assert (settings.filter.max_staleness_seconds, settings.filter.probe_paths) == (600, ())
    assert settings.insecure is False
    assert settings.tls is None
    # The same numbers whoever composes the servers.
    limits, http, xds = settings.limits, HttpSettings(), XdsSettings()
    assert (limits.streams, limits.node_streams) == (http.max_readers, http.max_readers_per_node)
    assert (limits.streams, limits.node_streams) == (xds.max_streams, xds.max_streams_per_node)
    assert (limits.message_bytes, limits.write_timeout) == (xds.max_message_bytes, xds.write_timeout_seconds)


@pytest.mark.parametrize("flag", ["http", "xds"])
def test_plaintext_beyond_this_machine_must_be_wanted(flag: str) -> None:
    addresses = {"http": Address("127.0.0.1", 1), "xds": Address("::1", 1), flag: Address("0.0.0.0", 1)}
    with pytest.raises(SettingsInvalid, match=f"--{flag} 0.0.0.0:1 .*--insecure"):
        ServeSettings(**addresses)
    assert ServeSettings(**addresses, insecure=True).insecure
    assert ServeSettings(**addresses, tls=TlsSettings(files=FILES)).tls


def test_tls_and_plaintext_are_not_both_meant() -> None:
    with pytest.raises(SettingsInvalid, match="which one is meant"):
        ServeSettings(http=Address("::1", 1), xds=Address("::1", 1), insecure=True, tls=TlsSettings(files=FILES))


def test_tls_is_what_was_given() -> None:
    cert, key, ca = Path("c"), Path("k"), Path("ca")
    assert TlsSettings.of(None, None) is None
    assert TlsSettings.of(cert, key) == TlsSettings(files=TlsFiles(cert, key), nodes=None)
    patterns = (NodePattern.parse("{node}.x"),)
    assert TlsSettings.of(cert, key, ca) == TlsSettings(files=TlsFiles(cert, key, ca), nodes=NodeNames())
    assert TlsSettings.of(cert, key, ca, ["{node}.x"]) == TlsSettings(
        files=TlsFiles(cert, key, ca), nodes=NodeNames(patterns)
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((Path("c"), None), "--tls-cert: TLS needs --tls-cert and --tls-key"),
        ((None, Path("k")), "--tls-key: TLS needs"),
        ((None, None, Path("ca"), ["{node}"]), "--client-ca, --node-pattern: TLS needs"),
        ((Path("c"), Path("k"), None, ["{node}"]), "--node-pattern is about clients' certificates"),
        ((Path("c"), Path("k"), Path("ca"), ["*"]), "write NAME -> ID"),
    ],
)
def test_half_of_tls_is_refused_with_help(given: Any, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told):
        TlsSettings.of(*given)


def test_each_store_is_made_of_its_settings() -> None:
    assert isinstance(make_store(StoreSettings.of(StoreKind.memory, DATA)), MemoryStore)
    assert isinstance(make_store(StoreSettings.of(StoreKind.embedded, DATA)), EmbeddedStore)
    assert isinstance(make_store(StoreSettings.of(StoreKind.etcd, DATA, ["http://127.0.0.1:2379"])), EtcdStore)


def test_etcd_gets_what_was_given(pem: Path) -> None:
    etcd = StoreSettings.of(
        *(StoreKind.etcd, DATA, ["https://a:1", "https://b:2"]),
        ca=pem,
        cert=pem,
        key=pem,
        user="hfi",
        password="secret",
    ).etcd
    assert etcd is not None
    assert (etcd.endpoints, etcd.ca, etcd.cert, etcd.key) == (("https://a:1", "https://b:2"), pem, pem, pem)
    assert (etcd.user, etcd.password) == ("hfi", "secret")
    assert "secret" not in repr(etcd)


def test_a_password_of_the_environment_counts_only_with_a_user() -> None:
    etcd = StoreSettings.of(StoreKind.etcd, DATA, ["http://a:1"], password="of something else").etcd
    assert etcd is not None
    assert etcd.password is None


@pytest.mark.parametrize(
    ("kind", "endpoints", "options", "told"),
    [
        (StoreKind.etcd, [], {}, "needs --etcd URL"),
        (StoreKind.etcd, ["http://a:1"], {"user": "hfi"}, "HFI_ETCD_PASSWORD"),
        (StoreKind.etcd, ["https://a:1"], {"ca": Path("/nowhere.pem")}, "no file /nowhere.pem"),
        (StoreKind.etcd, ["ftp://a:1"], {}, "etcd endpoint"),
        (StoreKind.memory, ["http://a:1"], {}, "--etcd: only --store etcd"),
        (StoreKind.embedded, [], {"ca": Path("x"), "user": "u"}, "--etcd-ca, --etcd-user: only --store etcd"),
    ],
)
def test_settings_that_make_no_sense(kind: StoreKind, endpoints: list[str], options: Any, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=told):
        StoreSettings.of(kind, DATA, endpoints, **options)


def test_the_filters_settings() -> None:
    made = filter_settings(0, ["/healthz", "/ready"])
    assert (made.max_staleness_seconds, made.probe_paths) == (0, ("/healthz", "/ready"))
    with pytest.raises(SettingsInvalid, match=r"--max-staleness: .*; --probe-path: "):
        filter_settings(-1, ["healthz"])
