"""What a node is served is two things put together, its module and its sidecar; and it gets the changes of both."""

from __future__ import annotations

from hfi_core.filters.rollout import Assignment, Rollout
from hfi_core.snapshot import NodeIdentity
from hfi_xds.filter_serving import Assigned
from hfi_xds.messages import Hello
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.sidecar_source import SidecarSource
from hfi_xds.source import ResourceSource
from tests.support.waiting import eventually
from tests.unit.xds.test_sidecar_source import build, wish

STABLE, CANDIDATE = (Resource.of(EXTENSION_CONFIG, "hfi", body) for body in (b"stable", b"candidate"))
NODES = [Hello(NodeIdentity.of(f"node-{number}", "checkout")) for number in range(50)]


def rollout(share: float) -> Rollout:
    candidate = Assignment(version="2", digest="d" * 64, generation=2)
    return Rollout(id="r", candidate=candidate, share=share, started_at_ms=1, changed_at_ms=1)


def assigned(share: float) -> Assigned:
    return Assigned(ResourceSnapshot.of(STABLE), ResourceSnapshot.of(CANDIDATE), rollout(share))


class Served:
    """As a stream asks for it."""

    def __init__(self, share: float) -> None:
        self.modules, self.sidecars = ResourceSource(assigned(share), debounce_seconds=0), SidecarSource(build)

    def __call__(self, hello: Hello) -> ResourceSnapshot:
        snapshot = self.modules.for_node(hello.node)
        assert snapshot is not None
        return self.sidecars.add_to(snapshot, hello)

    def modules_of(self) -> list[Resource]:
        return [self(node).of_type(EXTENSION_CONFIG)["hfi"] for node in NODES]

    async def upstream_is(self, port: int) -> None:
        """Wait until every node is served it."""
        wanted = {"upstream": Resource.of(CLUSTER, "upstream", str(port).encode())}
        await eventually(lambda: all(self(node).of_type(CLUSTER) == wanted for node in NODES), what="the sidecar")


async def test_each_node_has_the_module_of_the_rollout_and_the_sidecar_of_its_cluster() -> None:
    served = Served(share=30)
    covered = [CANDIDATE if rollout(30).covers(node.node) else STABLE for node in NODES]
    assert {STABLE, CANDIDATE} == set(covered)
    served.sidecars.publish({"checkout": wish(5)})
    await served.upstream_is(5)
    assert served.modules_of() == covered
    assert all(served(node) is served(node) for node in NODES)


async def test_a_change_of_either_reaches_all_and_leaves_the_other_as_it_was() -> None:
    served = Served(share=30)
    served.sidecars.publish({"checkout": wish(5)})
    await served.upstream_is(5)
    before = served.modules_of()
    served.sidecars.publish({"checkout": wish(6)})
    await served.upstream_is(6)
    assert served.modules_of() == before
    served.modules.publish(assigned(100))
    assert served.modules_of() == [CANDIDATE] * len(NODES)
    await served.upstream_is(6)
    served.modules.publish(Assigned(ResourceSnapshot.of(STABLE)))
    assert served.modules_of() == [STABLE] * len(NODES)
    await served.upstream_is(6)
