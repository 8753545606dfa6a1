from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from hfi_core.address import Address
from hfi_core.sidecars.model import NOTHING, Wish
from hfi_xds import node_wish, pb, wire
from hfi_xds.errors import StreamRefused


def read(hfi: Any) -> Wish:
    return node_wish.read(ParseDict({"hfi": hfi}, Struct()))


def test_a_node_says_what_it_is_to_be() -> None:
    said = {"listen": "0.0.0.0:10000", "upstream": "127.0.0.1:9000", "access_log": "-", "bandwidth": False}
    here, there = Address("0.0.0.0", 10000), Address("127.0.0.1", 9000)
    assert read(said) == Wish(here, (there,), "-", False)
    assert read({"upstream": ["127.0.0.1:9000", "127.0.0.1:9001"]}).upstream == (there, Address("127.0.0.1", 9001))
    node = pb.Node(id="n", metadata=ParseDict({"hfi": {"labels": {"a": "b"}, **said}}, Struct()))
    assert wire.hello(node).wish == read(said)


@pytest.mark.parametrize("hfi", [{}, {"labels": {"track": "canary"}}, "text", None, {"more": 1}])
def test_who_says_nothing_wishes_nothing(hfi: Any) -> None:
    assert read(hfi) == NOTHING
    assert node_wish.read(Struct()) == NOTHING


@pytest.mark.parametrize(
    ("hfi", "words"),
    [
        ({"listen": "localhost:1"}, "hfi.listen: Envoy listens on IP"),
        ({"listen": 10000}, "hfi.listen: must be a text"),
        ({"listen": ["127.0.0.1:1"]}, "hfi.listen: must be a text"),
        ({"upstream": []}, "hfi.upstream: needs 1 to"),
        ({"upstream": ["a:1", 2]}, "hfi.upstream: must be a text"),
        ({"upstream": "a"}, "hfi.upstream: .*HOST:PORT"),
        ({"access_log": ""}, "hfi.access_log: must be the path"),
        ({"bandwidth": "false"}, "hfi.bandwidth: must be true or false"),
    ],
)
def test_what_cannot_be_is_refused(hfi: dict[str, Any], words: str) -> None:
    with pytest.raises(StreamRefused, match=words) as refused:
        read(hfi)
    assert refused.value.code == "INVALID_ARGUMENT"
