"""What the control plane answers, as types of the JSON itself. ``docs/rest.md`` says what each field means.

Typed dictionaries and not classes: what a newer server adds stays in them, and ``-o json`` shows all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

#: A ``FaultInjectionPolicy`` document as the server stores it, with ``metadata.version`` and ``status``.
PolicyDocument = dict[str, Any]


class Applied(TypedDict):
    """What became of an apply. ``created``: no policy of that name was there before."""

    policy: PolicyDocument
    created: bool


class FilterModule(TypedDict):
    """A module of the catalogue. ``role``: nodes run it as ``stable`` or as ``candidate``, or none is to."""

    version: str
    digest: str
    size: int
    abi: str
    note: str
    pushedAtMs: int
    role: str | None


class PushedFilter(TypedDict):
    """What became of a push. ``created``: the catalogue did not have it before."""

    module: FilterModule
    created: bool


class RolloutModule(TypedDict):
    """A module as nodes run it."""

    version: str
    digest: str
    generation: int


class RolloutUnderWay(TypedDict):
    """The newest rollout, under way or ended. ``share`` is in percent."""

    id: str
    candidate: RolloutModule
    share: float
    selector: dict[str, Any] | None
    state: str
    cause: str | None
    reason: str
    watchSeconds: int
    maxErrors: int
    startedAtMs: int
    changedAtMs: int


class RolloutCounts(TypedDict):
    """Connected nodes, by what became of their module."""

    applied: int
    waiting: int
    rejected: int


class RolloutNodes(TypedDict):
    """Nodes that are to run the candidate, and those that are not."""

    candidate: RolloutCounts
    stable: RolloutCounts


class RolloutEvent(TypedDict):
    """Something that happened; ``cause`` is there when it went back."""

    atMs: int
    kind: str
    detail: str
    cause: NotRequired[str]


class Rollout(TypedDict):
    """Which nodes run which module."""

    stable: RolloutModule
    rollout: RolloutUnderWay | None
    nodes: RolloutNodes
    events: list[RolloutEvent]


class Step(TypedDict):
    """One rule that was asked about a request, in the order in which rules are asked."""

    policy: str
    rule: str
    mode: str
    outcome: str
    reason: NotRequired[str]
    percentage: NotRequired[float]
    probability: NotRequired[float]


class Decision(TypedDict):
    """The rule that is certain to decide."""

    policy: str
    rule: str


class Explanation(TypedDict):
    """Which rules would decide a request, with which chance."""

    decision: Decision | None
    steps: list[Step]
    none_probability: float
    version: str
    rules: int


class ProxyResource(TypedDict):
    """What became of one xDS resource at a proxy."""

    typeUrl: str
    name: str
    digest: str
    state: str
    message: str
    atMs: int


class ProxyXds(TypedDict):
    """A proxy's xDS streams and what it acknowledged on them."""

    streams: int
    resources: list[ProxyResource]


class ProxyRules(TypedDict):
    """How far a proxy's rules are."""

    version: str | None
    epoch: str | None
    upToDate: bool
    ageMs: int | None
    polling: bool
    replica: NotRequired[str | None]


class Proxy(TypedDict):
    """One Envoy, as all replicas know it."""

    node: str
    cluster: str
    labels: dict[str, str]
    connected: bool
    firstSeenMs: int
    lastSeenMs: int
    userAgent: str
    xds: ProxyXds
    rules: ProxyRules


class ProxyList(TypedDict):
    """The proxies of all replicas, and what the one that was asked serves."""

    items: list[Proxy]
    version: str | None
    epoch: str | None
    connected: int
    connectedUpToDate: int


class RuleMetrics(TypedDict):
    """One rule's counters; ``injected`` and ``shadowed`` by kind of fault, ``skipped`` by reason."""

    policy: str
    rule: str
    matched: int
    injected: dict[str, int]
    shadowed: dict[str, int]
    skipped: dict[str, int]


class Bucket(TypedDict):
    """How many values were no larger than ``le``."""

    le: float
    count: int


class HistogramMetrics(TypedDict):
    """A distribution; values above the last bucket are in ``count`` alone."""

    count: int
    sum: float
    buckets: list[Bucket]


class Metrics(TypedDict):
    """The filters' metrics, over all proxies of the replica, and the replica's own state."""

    total_requests: int
    rules_matched: int
    faults_injected: int
    errors: int
    active_delays: int
    snapshot_age_seconds: float | None
    delay_ms: HistogramMetrics
    takeover_us: HistogramMetrics
    rules: list[RuleMetrics]
    control_plane: dict[str, Any]


class Health(TypedDict):
    """Whether the replica can serve, and what is wrong if not."""

    status: str
    ready: bool
    troubles: list[str]
    version: str
    snapshot: dict[str, str] | None
    feedAgeMs: int | None


@dataclass(frozen=True, slots=True)
class Update:
    """One event of the stream: every rule as it is from ``version`` on."""

    version: str
    epoch: str
    server_time_ms: int
    rules: list[dict[str, Any]]
