"""Between protobuf messages and the session's values. Pure.

Of a node, only what HFI uses is read: everything else in a first message (60 KB of extensions) is skipped unparsed,
because our schema does not have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from hfi_core.snapshot import NodeIdentity
from hfi_xds import node_wish, pb
from hfi_xds.messages import DeltaRequest, DeltaResponse, Hello, Rejection, SotwRequest, SotwResponse
from hfi_xds.resources import Resource

#: Labels of one node that are kept; a selector names few.
MAX_LABELS = 64
MAX_LABEL_TEXT = 256
MAX_USER_AGENT = 128
#: Serialised resources that are kept. Some of them are modules of a megabyte.
MAX_KEPT = 32
#: Each stream counts from one, so those of different streams are mostly the same.
MAX_NONCES = 1_024


def hello(node: pb.Node) -> Hello:
    """Who the node is. Labels are the texts in ``metadata.hfi.labels``; whatever else is there is left out.

    Raises :class:`StreamRefused` when ``metadata.hfi`` says something of the sidecar that cannot be.
    """
    identity = NodeIdentity.of(node.id, node.cluster, _labels(node.metadata))
    return Hello(identity, _user_agent(node)[:MAX_USER_AGENT], node_wish.read(node.metadata))


def _labels(metadata: Struct) -> dict[str, str]:
    fields = metadata.fields["hfi"].struct_value.fields["labels"].struct_value.fields
    texts = {
        key: value.string_value
        for key, value in sorted(fields.items())
        if value.WhichOneof("kind") == "string_value" and max(len(key), len(value.string_value)) <= MAX_LABEL_TEXT
    }
    return dict(list(texts.items())[:MAX_LABELS])


def _user_agent(node: pb.Node) -> str:
    if node.WhichOneof("user_agent_version_type") == "user_agent_build_version":
        version = node.user_agent_build_version.version
        return f"{node.user_agent_name}/{version.major_number}.{version.minor_number}.{version.patch}"
    return f"{node.user_agent_name}/{node.user_agent_version}" if node.user_agent_version else node.user_agent_name


def sotw_request(message: pb.DiscoveryRequest) -> SotwRequest:
    """The request that a message is."""
    return SotwRequest(
        type_url=message.type_url,
        names=tuple(message.resource_names),
        version=message.version_info,
        nonce=message.response_nonce,
        error=_rejection(message),
        hello=hello(message.node) if message.HasField("node") else None,
    )


def delta_request(message: pb.DeltaDiscoveryRequest) -> DeltaRequest:
    """The request that a message is."""
    initial: Mapping[str, str] = dict(message.initial_resource_versions)
    return DeltaRequest(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=initial,
        nonce=message.response_nonce,
        error=_rejection(message),
        hello=hello(message.node) if message.HasField("node") else None,
    )


def _rejection(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest) -> Rejection | None:
    # The presence of the field is the rejection; its code may be anything.
    if not message.HasField("error_detail"):
        return None
    return Rejection(message.error_detail.code, message.error_detail.message)


def sotw_response(response: SotwResponse, identifier: str) -> pb.DiscoveryResponse:
    """The message for a response."""
    return pb.DiscoveryResponse(
        version_info=response.version,
        resources=[_mortal(resource, response.ttl_seconds) for resource in response.resources],
        type_url=response.type_url,
        nonce=response.nonce,
        control_plane=_control_plane(identifier),
    )


def delta_response(response: DeltaResponse, identifier: str) -> pb.DeltaDiscoveryResponse:
    """The message for a response."""
    ttl = _duration(response.ttl_seconds)
    return pb.DeltaDiscoveryResponse(
        resources=[
            *(_named(resource, ttl) for resource in response.resources),
            *(pb.Resource(name=name, version=version, ttl=ttl) for name, version in response.alive),
        ],
        removed_resources=response.removed,
        type_url=response.type_url,
        nonce=response.nonce,
        control_plane=_control_plane(identifier),
    )


def delta_bytes(response: DeltaResponse, identifier: str) -> bytes:
    """The same, serialised.

    Its pieces are kept, for one change goes to thousands of streams: fields of a message may come in any order, so a
    message is its pieces one after the other (protobuf's encoding, "Last One Wins").
    """
    if response.ttl_seconds or response.alive:
        return delta_response(response, identifier).SerializeToString()
    frame = _frame(response.type_url, response.removed, identifier)
    return b"".join([*map(_field, response.resources), frame, _nonce(response.nonce)])


@lru_cache(maxsize=MAX_KEPT)
def _frame(type_url: str, removed: tuple[str, ...], identifier: str) -> bytes:
    return pb.DeltaDiscoveryResponse(
        removed_resources=removed, type_url=type_url, control_plane=_control_plane(identifier)
    ).SerializeToString()


@lru_cache(maxsize=MAX_NONCES)
def _nonce(nonce: str) -> bytes:
    return pb.DeltaDiscoveryResponse(nonce=nonce).SerializeToString()


@lru_cache(maxsize=MAX_KEPT)
def _field(resource: Resource) -> bytes:
    return pb.DeltaDiscoveryResponse(resources=[_named(resource, None)]).SerializeToString()


def _named(resource: Resource, ttl: Duration | None) -> pb.Resource:
    return pb.Resource(name=resource.name, version=resource.version, resource=_any(resource), ttl=ttl)


@lru_cache(maxsize=1)
def _control_plane(identifier: str) -> pb.ControlPlane:
    return pb.ControlPlane(identifier=identifier)


def _mortal(resource: Resource, ttl_seconds: float) -> Any:
    """A resource of SotW; wrapped when it has a time to live, for there is no other place for it."""
    if not ttl_seconds:
        return _any(resource)
    wrapped = Any()
    wrapped.Pack(_named(resource, _duration(ttl_seconds)))
    return wrapped


def _duration(seconds: float) -> Duration | None:
    if not seconds:
        return None
    duration = Duration()
    duration.FromMilliseconds(max(1, round(seconds * 1000)))
    return duration


def _any(resource: Resource) -> Any:
    return Any(type_url=resource.type_url, value=resource.body)
