from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from hfi_core.errors import SettingsInvalid
from hfi_xds.server import grpc_options
from hfi_xds.settings import XdsSettings


def test_what_is_promised() -> None:
    assert XdsSettings() == XdsSettings(
        max_streams=10_000,
        hello_timeout_seconds=60,
        write_timeout_seconds=20,
        max_concurrent_pushes=100,
        keepalive_seconds=30,
        keepalive_timeout_seconds=10,
        min_ping_interval_seconds=5,
        max_connection_age_seconds=1_800,
        max_connection_age_grace_seconds=5,
        max_message_bytes=4 * 1024 * 1024,
        identifier="hfi",
    )


NUMBERS = [field.name for field in fields(XdsSettings) if field.name != "identifier"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 2**31])
def test_nonsense_is_refused_by_name(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    if name in ("max_connection_age_seconds", "resource_ttl_seconds") and value == 0:
        assert getattr(XdsSettings(**settings), name) == 0
        return
    with pytest.raises(SettingsInvalid, match=name):
        XdsSettings(**settings)


def test_what_grpc_is_told() -> None:
    assert dict(grpc_options(XdsSettings())) == {
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": 4 * 1024 * 1024,
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.keepalive_permit_without_calls": 1,
        # Envoys ping every 30 s; gRPC's own 300 s would cut them off.
        "grpc.http2.min_recv_ping_interval_without_data_ms": 5_000,
        "grpc.http2.max_ping_strikes": 0,
        "grpc.max_connection_age_ms": 1_800_000,
        "grpc.max_connection_age_grace_ms": 5_000,
    }


def test_a_connection_may_live_for_ever() -> None:
    options = dict(grpc_options(XdsSettings(max_connection_age_seconds=0)))
    assert not [name for name in options if "connection_age" in name]


def test_times_below_a_millisecond_are_not_none_at_all() -> None:
    assert dict(grpc_options(XdsSettings(keepalive_seconds=0.0001)))["grpc.keepalive_time_ms"] == 1
