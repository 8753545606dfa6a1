"""The resource types, and how the protocol treats each. Pure.

``docs/xds.md`` says which row of the protocol each rule comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PREFIX = "type.googleapis.com/"

CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
EXTENSION_CONFIG = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"


@dataclass(frozen=True, slots=True)
class TypeRules:
    """How one type is served.

    ``label`` names it in metrics.
    ``wildcard``: ``*``, or naming nothing at first, asks for everything. ``full_state``: in SotW a response is the
    whole state, and what is absent is deleted. ``removals``: delta says what does not exist. ``alone``: one
    resource a response, so that an answer is an answer about that resource. ``after_clusters``: points to clusters, and
    waits until the client has taken them. ``expires``: may be sent with a time to live, past which the client falls
    back to its default; a listener or a cluster has none, and would be gone.
    """

    label: str
    wildcard: bool = False
    full_state: bool = False
    removals: bool = True
    alone: bool = False
    after_clusters: bool = False
    expires: bool = False


#: In the order in which an update goes out: what is pointed to comes before what points to it. A listener waits for
#: the extension configurations that it names, and those for the clusters that they call.
RULES: Mapping[str, TypeRules] = MappingProxyType(
    {
        CLUSTER: TypeRules("cds", wildcard=True, full_state=True),
        ENDPOINT: TypeRules("eds"),
        # Never a wildcard, and never told that something is missing: a listener without a default configuration
        # would wait for ever, or answer 500 (envoyproxy/envoy#32823).
        EXTENSION_CONFIG: TypeRules("ecds", removals=False, alone=True, expires=True),
        LISTENER: TypeRules("lds", wildcard=True, full_state=True, after_clusters=True),
        ROUTE: TypeRules("rds", after_clusters=True),
    }
)

OTHER_LABEL = "other"


def label(type_url: str) -> str:
    """A short name for metrics; every type that is not ours is one, so that clients cannot invent labels."""
    rules = RULES.get(type_url)
    return rules.label if rules else OTHER_LABEL
