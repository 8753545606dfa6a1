from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from hfi_core.errors import SettingsInvalid
from hfi_core.store.embedded import EmbeddedSettings
from hfi_core.store.settings import Endpoint, EtcdSettings, parse_endpoint


@pytest.mark.parametrize(
    ("text", "target", "tls"),
    [
        ("http://127.0.0.1:2379", "127.0.0.1:2379", False),
        ("https://etcd-0.etcd.svc:2379", "etcd-0.etcd.svc:2379", True),
        ("HTTPS://etcd:2379/", "etcd:2379", True),
        ("etcd:2379", "etcd:2379", False),
        ("127.0.0.1:1", "127.0.0.1:1", False),
        ("http://[::1]:2379", "[::1]:2379", False),
        ("[fd00::1]:2379", "[fd00::1]:2379", False),
    ],
)
def test_forms_of_an_endpoint(text: str, target: str, tls: bool) -> None:
    assert parse_endpoint(text) == Endpoint(target, tls)


def test_without_a_scheme_certificates_decide() -> None:
    assert parse_endpoint("etcd:2379", tls_by_default=True).tls
    assert not parse_endpoint("http://etcd:2379", tls_by_default=True).tls
    settings = EtcdSettings(("a:1", "http://b:2", "https://c:3"), ca=Path("ca.pem"))
    assert [endpoint.tls for endpoint in settings.parsed_endpoints] == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "etcd",
        "http://etcd",
        "http://:2379",
        ":2379",
        "http://etcd:0",
        "http://etcd:65536",
        "http://etcd:port",
        "http://[::1:2379",
        "http://[etcd]:2379",
        "ftp://etcd:2379",
        "unix:///run/etcd.sock",
        "http://etcd:2379/v3",
        "http://etcd:2379//",
        "http://etcd:2379?x=1",
        "http://etcd:2379#x",
        "http://etcd:2379 ",
        "http://a:1,http://b:2",
    ],
)
def test_what_is_no_endpoint_is_named_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="https://host:port") as refused:
        parse_endpoint(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["http://hfi:s3cret@etcd:2379", "hfi:s3cret@etcd:2379", "http://hfi:s3cret/x@etcd:1"])
def test_a_password_in_an_endpoint_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        EtcdSettings((text,))
    assert "s3cret" not in str(refused.value)


def test_the_password_is_in_no_repr() -> None:
    settings = EtcdSettings(user="hfi", password="s3cret")
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in repr(EmbeddedSettings(Path("data"), client=settings))
    assert "hfi" in repr(settings)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"endpoints": ()}, "at least one"),
        ({"cert": Path("c.pem")}, "go together"),
        ({"key": Path("c.key")}, "go together"),
        ({"user": "hfi"}, "go together"),
        ({"password": "x"}, "go together"),
        ({"ca": Path("ca.pem")}, "https://"),
        ({"prefix": "/"}, "slash"),
        ({"prefix": "hfi/"}, "slash"),
        ({"prefix": "/hfi"}, "slash"),
        ({"epoch_key": ""}, "epoch"),
        ({"epoch_key": "/hfi/policies/epoch"}, "outside"),
        ({"attempt_seconds": 0}, "above 0"),
        ({"request_seconds": -1}, "above 0"),
        ({"heartbeat_seconds": 10.0}, "hung_seconds"),
        ({"hung_seconds": 5.0}, "hung_seconds"),
        ({"page_size": 0}, "page_size"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsInvalid, match=says):
        replace(EtcdSettings(), **changed)


def test_the_defaults_are_a_promise() -> None:
    settings = EtcdSettings()
    assert {field.name: getattr(settings, field.name) for field in fields(settings)} == {
        "endpoints": ("http://127.0.0.1:2379",),
        "ca": None,
        "cert": None,
        "key": None,
        "user": None,
        "password": None,
        "prefix": "/hfi/policies/",
        "epoch_key": "/hfi/epoch",
        "attempt_seconds": 2.0,
        "request_seconds": 5.0,
        "heartbeat_seconds": 5.0,
        "hung_seconds": 10.0,
        "page_size": 500,
    }


@pytest.mark.parametrize(
    ("prefix", "beside"), [("/hfi/policies/", "/hfi/filter/"), ("/a/b/c/", "/a/b/filter/"), ("/own/", "/own.filter/")]
)
def test_other_documents_lie_beside_the_policies(prefix: str, beside: str) -> None:
    settings = EtcdSettings(prefix=prefix, page_size=7)
    assert settings.beside("filter") == replace(settings, prefix=beside)
