from __future__ import annotations

import pytest

from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("[::1]:0", "::1", 0),
        ("control-plane.hfi.svc:65535", "control-plane.hfi.svc", 65535),
        ("localhost:1", "localhost", 1),
    ],
)
def test_reads_and_writes_the_same(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "host:",
        "host:x",
        "host:65536",
        "host:-1",
        "::1:8080",
        "[host]:1",
        "[::1]",
        "a b:1",
        "-a:1",
        "h/x:1",
    ],
)
def test_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(SettingsInvalid):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        *((text, True) for text in ("127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "localhost:1", "LOCALHOST.:1")),
        *((text, False) for text in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.example.com:1")),
    ],
)
def test_knows_what_only_this_machine_reaches(text: str, loopback: bool) -> None:
    assert Address.parse(text).is_loopback is loopback


def test_another_port_of_the_same_host() -> None:
    assert Address.parse("[::1]:0").with_port(9) == Address("::1", 9)
