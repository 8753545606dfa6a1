"""What each node has rejected. Pure.

Envoy that is sent again, byte for byte, what it has rejected acknowledges it *without applying it* (tried on 1.40,
both variants). So rejected content is remembered beyond the stream on which it was rejected: the node comes back on
another one, and its acknowledgement must not be believed there either.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from hfi_xds.resources import Resource

#: Nodes are named by whoever connects; those that rejected something longest ago are forgotten first.
MAX_NODES = 20_000
#: Contents remembered for each node. More than an operator tries before looking at what the node says.
MAX_FOR_EACH = 64

_Key = tuple[str, str, str]


class Rejected(NamedTuple):
    """One content that one node said no to."""

    node_id: str
    type_url: str
    name: str
    version: str


class Rejections:
    """Contents by node: (type, name, version) that it said no to. ``told`` hears of each that is new here."""

    def __init__(self, told: Callable[[Rejected], None] = lambda rejected: None) -> None:
        self._told = told
        self._nodes: OrderedDict[str, OrderedDict[_Key, None]] = OrderedDict()

    def add(self, node_id: str, type_url: str, name: str, version: str) -> None:
        """The node has rejected this, here and now."""
        if not self.has(node_id, type_url, name, version):
            self._told(Rejected(node_id, type_url, name, version))
        self.learn(Rejected(node_id, type_url, name, version))

    def learn(self, rejected: Rejected) -> None:
        """It is known that the node has rejected this, here or elsewhere."""
        node_id, type_url, name, version = rejected
        contents = self._nodes.setdefault(node_id, OrderedDict())
        contents[type_url, name, version] = None
        contents.move_to_end((type_url, name, version))
        self._nodes.move_to_end(node_id)
        if len(contents) > MAX_FOR_EACH:
            contents.popitem(last=False)
        if len(self._nodes) > MAX_NODES:
            self._nodes.popitem(last=False)

    def has(self, node_id: str, type_url: str, name: str, version: str) -> bool:
        """Whether it has."""
        return (type_url, name, version) in self._nodes.get(node_id, ())

    def has_resource(self, node_id: str, resource: Resource) -> bool:
        """Whether it has rejected exactly this resource."""
        return self.has(node_id, resource.type_url, resource.name, resource.version)
