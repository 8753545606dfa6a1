"""Resources and the immutable set of them that is served. Pure.

Laws:

1. A resource's version is the digest of its content, and nothing else: replicas agree on it, and a client that
   goes from one to another is sent nothing that it has.
2. Bodies are built once and kept as bytes; a stream adds only its own nonce.
3. Equal sets are equal values: publishing one again is nothing new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from hfi_core.snapshot import NodeIdentity

_NOTHING: Mapping[str, Resource] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. ``body`` is the serialised message that ``type_url`` names; ``version`` its SHA-256 in hex."""

    type_url: str
    name: str
    version: str
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, type_url: str, name: str, body: bytes) -> Resource:
        """The resource with the version that its content has."""
        return cls(type_url, name, hashlib.sha256(body).hexdigest(), body)


@dataclass(frozen=True, slots=True)
class ResourceSnapshot:
    """Everything that is served to a node: ``types[type_url][name]``, names in order.

    A type that is there without resources is served as empty; one that is not there is not served.
    """

    types: Mapping[str, Mapping[str, Resource]]

    @classmethod
    def of(cls, *resources: Resource, types: Iterable[str] = ()) -> ResourceSnapshot:
        """The snapshot of these; of two with one type and name the latter counts. ``types`` are served even empty."""
        by_type: dict[str, dict[str, Resource]] = {type_url: {} for type_url in types}
        for resource in sorted(resources, key=lambda resource: resource.name):
            by_type.setdefault(resource.type_url, {})[resource.name] = resource
        return cls(MappingProxyType({url: MappingProxyType(named) for url, named in by_type.items()}))

    def joined(self, resources: Iterable[Resource], types: Iterable[str] = ()) -> ResourceSnapshot:
        """This and those; ``types`` are served even empty."""
        mine = [resource for named in self.types.values() for resource in named.values()]
        return ResourceSnapshot.of(*mine, *resources, types=[*self.types, *types])

    def for_node(self, node: NodeIdentity) -> ResourceSnapshot:
        """The same for every node; see :class:`Served`."""
        return self

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        """The resources of one type, by name."""
        return self.types.get(type_url, _NOTHING)


class Served(Protocol):
    """Everything that is served, of which each node has its own part. Equal ones serve the same."""

    def for_node(self, node: NodeIdentity) -> ResourceSnapshot:
        """What this node is served."""


def combined_version(resources: Iterable[Resource]) -> str:
    """One version for several resources, whatever their order: what SotW says of a response."""
    digest = hashlib.sha256()
    for name, version in sorted((resource.name, resource.version) for resource in resources):
        digest.update(f"{len(name)}:{name}={version}\n".encode())
    return digest.hexdigest()
