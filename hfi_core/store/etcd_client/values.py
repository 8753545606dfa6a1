"""What the client answers: frozen values without protobuf, and how they are read from messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hfi_core.store.pb import etcd_pb2 as pb


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as etcd has it. ``revision`` is that of its last write; ``lease`` 0 means none."""

    key: bytes
    value: bytes
    revision: int
    lease: int


@dataclass(frozen=True, slots=True)
class Range:
    """Keys at one revision. ``more``: the limit cut the answer. ``cluster_id`` names the cluster's life."""

    entries: tuple[KeyValue, ...]
    revision: int
    more: bool
    cluster_id: int


@dataclass(frozen=True, slots=True)
class Swap:
    """The answer of a compare-and-swap.

    ``revision`` is the store's after it. ``current`` is the key as it is when the comparison failed, and as
    it was before the write when it held; None: it does not (did not) exist. ``repeated``: an earlier attempt
    of the same request may have been carried out without an answer, so that a failed comparison may be our
    own doing. ``others``: when a comparison failed, the last revisions of the other keys that were compared.
    """

    succeeded: bool
    revision: int
    current: KeyValue | None
    repeated: bool
    others: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One write that a watch saw. ``value`` is None for a delete."""

    key: bytes
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class WatchNews:
    """Changes in order, never half a transaction; none of them: the watch is alive at ``revision``."""

    changes: tuple[KeyChange, ...]
    revision: int


def key_value(message: pb.KeyValue) -> KeyValue:
    """From etcd's message."""
    return KeyValue(message.key, message.value, message.mod_revision, message.lease)


def key_change(event: pb.Event) -> KeyChange:
    """From etcd's message."""
    value = None if event.type == pb.Event.DELETE else event.kv.value
    return KeyChange(event.kv.key, value, event.kv.mod_revision)
