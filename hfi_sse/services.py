"""What the routes need, handed to them once: nothing here is global."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from hfi_core.clock import now_ms
from hfi_core.dataplane import DataPlane
from hfi_core.feed import Feed
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.progress import VersionOf
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.policies import PolicyService
from hfi_core.proxies import ProxyRegistry
from hfi_core.replicas.fleet import Membership
from hfi_core.sidecars.service import SidecarService
from hfi_core.tls import NodeNames


class Explainer(Protocol):
    """What explains a request: :class:`hfi_core.policy.engine.RuleEngine`."""

    def explain(self, snapshot: Mapping[str, Any], request: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
        """Decision and steps; may be called in a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How the HTTP side behaves. Durations are seconds."""

    max_body_bytes: int = 1 << 20
    """Longer bodies are answered with 413. A policy of 256 rules with every field used is some 300 KB."""

    heartbeat_seconds: float = 15.0
    """Between comments on an endless stream. Proxies commonly cut connections that are silent for a minute."""

    default_wait_seconds: float = 25.0
    """How long a ``once`` request is held when it does not say; below the 30 s of most client timeouts."""

    max_wait_seconds: float = 300.0
    """The longest ``wait`` that may be asked for."""

    ready_max_feed_age_seconds: float = 20.0
    """Not ready when the store has not been heard of for so long. A quiet etcd is asked for a sign of life after
    5 s and given up after 10."""

    max_readers: int = 10_000
    """Requests for the stream at once; one more is answered with 503, and an Envoy goes to another replica."""

    max_readers_per_node: int = 32
    """Of one node id; one more is answered with 429. A filter has one poll, or two while a worker takes over."""

    poll_grace_seconds: float = 5.0
    """A proxy whose poll has ended counts as polling for so long: it is about to ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything behind the HTTP side.

    ``filter_version`` says as which resource version a module is served by xDS, and ``filter_trouble`` why none is, in
    words (None: one is).
    ``fleet`` knows of other replicas; None: there are none.
    ``registry`` is where the application adds its own metrics, so one application a registry.
    ``stopping`` is set by whoever ends the process (:class:`hfi_sse.server.HttpServer` does): every stream
    then ends by itself. ``nodes``: whose certificate may be which node, where clients have certificates; None where
    they have none.
    """

    policies: PolicyService
    sidecars: SidecarService
    feed: Feed
    proxies: ProxyRegistry
    data_plane: DataPlane
    engine: Explainer
    modules: ModuleCatalogue
    filters: Follower[FilterState]
    rollouts: RolloutService
    registry: CollectorRegistry
    version: str
    filter_version: VersionOf
    filter_trouble: Callable[[], str | None]
    fleet: Membership | None = None
    settings: HttpSettings = field(default_factory=HttpSettings)
    clock: Callable[[], int] = now_ms
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    nodes: NodeNames | None = None
