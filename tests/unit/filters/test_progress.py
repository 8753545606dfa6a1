from __future__ import annotations

from hfi_core.filters import rollout
from hfi_core.filters.manifest import Manifest
from hfi_core.filters.progress import Counts, progress
from hfi_core.policy.model import Selector
from hfi_core.proxies import ProxyStatus, ResourceState, ResourceStatus
from hfi_core.snapshot import NodeIdentity


def module(version: str) -> Manifest:
    return Manifest(version=version, digest="0" * 64, size=1, piece_bytes=1, abi="0.2.1", pushed_at_ms=0)


def proxy(node: str, digest: str, state: ResourceState, *, canary: bool, streams: int = 1) -> ProxyStatus:
    resource = ResourceStatus("ecds", "hfi", digest, state)
    labels = {"track": "canary"} if canary else {}
    return ProxyStatus(NodeIdentity.of(node, "", labels), 0, 0, xds_streams=streams, resources=(resource,))


def test_connected_nodes_are_counted_by_what_became_of_what_they_are_to_run() -> None:
    first = rollout.first(module("1"), 0)
    two = module("2").model_copy(update={"digest": "2" * 64})
    document = rollout.start(first, two, "r", 0, selector=Selector(labels={"track": "canary"}))
    proxies = [
        proxy("a", "v2", "acked", canary=True),
        proxy("b", "v2", "sent", canary=True),
        proxy("c", "v1", "acked", canary=True),
        proxy("d", "v2", "nacked", canary=True),
        proxy("e", "v2", "not_applied", canary=True),
        proxy("f", "v2", "acked", canary=True, streams=0),
        proxy("g", "v1", "acked", canary=False),
        proxy("h", "v2", "acked", canary=False),
    ]
    found = progress(document, proxies, lambda assignment: f"v{assignment.version}")
    assert found.candidate == Counts(applied=1, waiting=2, rejected=2)
    assert found.stable == Counts(applied=1, waiting=1)
    assert found.candidate.all == 5
    ended = rollout.roll_back(document, 0, "operator", "")
    assert progress(ended, proxies, lambda assignment: f"v{assignment.version}").candidate.all == 0
    # A replica that does not serve it yet does not know.
    assert progress(document, proxies, lambda assignment: None).candidate == Counts(waiting=5)
