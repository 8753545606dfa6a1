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


class Proxy(TypedDict):
    """One Envoy, as the replica that was asked knows it."""

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
    """All proxies of a replica, and what it serves."""

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
