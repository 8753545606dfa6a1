"""What a node says of itself as a sidecar, in ``metadata.hfi``. Pure.

| field | |
|---|---|
| ``listen`` | ``IP:PORT`` where it takes requests |
| ``upstream`` | the application: ``HOST:PORT``, or a list of them |
| ``access_log`` | a file, or ``-`` for standard output |
| ``bandwidth`` | false: without the filter that policies' ``bandwidth`` needs |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from google.protobuf.struct_pb2 import Struct, Value

from hfi_core.errors import SettingsInvalid
from hfi_core.sidecars.model import NOTHING, Wish, listen_address, log_path, upstream_addresses
from hfi_xds.errors import StreamRefused

T = TypeVar("T")
FIELDS = ("listen", "upstream", "access_log", "bandwidth")


def read(metadata: Struct) -> Wish:
    """The node's wish; nothing when it says nothing. Raises :class:`StreamRefused`."""
    said = metadata.fields["hfi"].struct_value.fields if "hfi" in metadata.fields else {}
    if not any(field in said for field in FIELDS):
        return NOTHING
    return Wish(
        _part(said, "listen", lambda value: listen_address(_text(value))),
        _part(said, "upstream", lambda value: upstream_addresses(_texts(value))),
        _part(said, "access_log", lambda value: log_path(_text(value))),
        _part(said, "bandwidth", _flag),
    )


def _part(said: Mapping[str, Value], field: str, parse: Callable[[Value], T]) -> T | None:
    if field not in said:
        return None
    try:
        return parse(said[field])
    except SettingsInvalid as error:
        raise StreamRefused("INVALID_ARGUMENT", f"node.metadata.hfi.{field}: {error}") from error


def _text(value: Value) -> str:
    if value.WhichOneof("kind") != "string_value":
        raise SettingsInvalid("must be a text")
    return value.string_value


def _texts(value: Value) -> list[str]:
    several = value.WhichOneof("kind") == "list_value"
    return [_text(one) for one in value.list_value.values] if several else [_text(value)]


def _flag(value: Value) -> bool:
    if value.WhichOneof("kind") != "bool_value":
        raise SettingsInvalid("must be true or false")
    return value.bool_value
