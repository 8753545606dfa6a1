from __future__ import annotations

import dataclasses

import pytest

from hfi_core.store.etcd_client.values import KeyChange, KeyValue, key_change, key_value
from hfi_core.store.pb import etcd_pb2 as pb


def test_a_key_as_etcd_has_it() -> None:
    message = pb.KeyValue(key=b"k", value=b"\xff", create_revision=3, mod_revision=7, version=2, lease=9)
    value = key_value(message)
    assert value == KeyValue(b"k", b"\xff", 7, 9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.lease = 1  # type: ignore[misc]


def test_a_write_and_a_delete() -> None:
    put = pb.Event(type=pb.Event.PUT, kv=pb.KeyValue(key=b"k", value=b"", mod_revision=7))
    gone = pb.Event(type=pb.Event.DELETE, kv=pb.KeyValue(key=b"k", mod_revision=8))
    assert key_change(put) == KeyChange(b"k", b"", 7)  # An empty value is a value.
    assert key_change(gone) == KeyChange(b"k", None, 8)


def test_a_store_can_share_a_process_with_other_clients_of_etcd() -> None:
    """One descriptor pool a process: names that are etcd's own would clash with another's."""
    assert pb.DESCRIPTOR.package == "hfi.etcd"
    assert pb.DESCRIPTOR.name.startswith("hfi_core/")
