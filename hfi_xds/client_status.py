"""The status service (CSDS): what became of each resource at each node, for tools that know nothing of HFI. Pure.

| state of a resource | ``config_status`` | ``client_status`` |
|---|---|---|
| ``acked`` | SYNCED | ACKED |
| ``sent`` | STALE | REQUESTED |
| ``nacked``, ``not_applied`` | ERROR, with the node's words in ``error_state`` | NACKED |

``version_info`` is what the node runs, not what it was sent last. Only nodes with a discovery stream are in it: of
one that has gone, nobody knows what it runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from hfi_core.proxies import ProxyStatus, ResourceStatus
from hfi_xds import node_matcher, pb

_STATUS = {"acked": pb.SYNCED, "sent": pb.STALE, "nacked": pb.ERROR, "not_applied": pb.ERROR}
_CLIENT = {"acked": pb.ACKED, "sent": pb.REQUESTED, "nacked": pb.NACKED, "not_applied": pb.NACKED}


def answer(request: pb.ClientStatusRequest, proxies: Iterable[ProxyStatus]) -> pb.ClientStatusResponse:
    """What is known of the nodes that a request means. Raises :class:`~hfi_xds.errors.StreamRefused`."""
    node_matcher.check(request.node_matchers)
    return pb.ClientStatusResponse(
        config=[
            _config(proxy)
            for proxy in proxies
            if proxy.xds_streams > 0 and node_matcher.meant(request.node_matchers, proxy.node)
        ]
    )


def _config(proxy: ProxyStatus) -> pb.ClientConfig:
    node = pb.Node(id=proxy.node.id, cluster=proxy.node.cluster)
    node.metadata.update({"hfi": {"labels": dict(proxy.node.labels)}})
    node.user_agent_name, _, node.user_agent_version = proxy.user_agent.partition("/")
    resources = sorted(proxy.resources, key=lambda resource: (resource.type_url, resource.name))
    return pb.ClientConfig(node=node, generic_xds_configs=map(_resource, resources))


def _resource(status: ResourceStatus) -> pb.ClientConfig.GenericXdsConfig:
    at = Timestamp()
    at.FromMilliseconds(status.at_ms)
    config = pb.ClientConfig.GenericXdsConfig(
        type_url=status.type_url,
        name=status.name,
        version_info=status.applied,
        last_updated=at,
        config_status=_STATUS[status.state],
        client_status=_CLIENT[status.state],
    )
    if status.message:
        config.error_state.CopyFrom(
            pb.UpdateFailureState(last_update_attempt=at, details=status.message, version_info=status.digest)
        )
    return config
