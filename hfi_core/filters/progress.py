"""How far a rollout has come among the proxies that are connected. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from hfi_core.filters.rollout import Assignment, RolloutDocument
from hfi_core.proxies import ProxyStatus, ResourceStatus

#: ``waiting``: it has not been sent, or not answered. ``rejected``: it said no, and keeps what it had.
NodeState = Literal["applied", "waiting", "rejected"]
#: The version of the resource that serves a module; None while that is not served.
VersionOf = Callable[[Assignment], str | None]


@dataclass(frozen=True, slots=True)
class Counts:
    """Proxies by what became of their module."""

    applied: int = 0
    waiting: int = 0
    rejected: int = 0

    @property
    def all(self) -> int:
        """How many there are."""
        return self.applied + self.waiting + self.rejected


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the proxies with a discovery stream: those that are to run the candidate, and those that are not."""

    candidate: Counts
    stable: Counts


def progress(document: RolloutDocument, proxies: Iterable[ProxyStatus], version_of: VersionOf) -> Progress:
    """Count them."""
    active = document.active
    runs_stable = version_of(document.stable)
    runs_candidate = None if active is None else version_of(active.candidate)
    stable: list[NodeState] = []
    candidate: list[NodeState] = []
    for proxy in proxies:
        if not proxy.xds_streams:
            continue
        if active is not None and active.covers(proxy.node):
            candidate.append(node_state(proxy, runs_candidate))
        else:
            stable.append(node_state(proxy, runs_stable))
    return Progress(_counts(candidate), _counts(stable))


def node_state(proxy: ProxyStatus, version: str | None) -> NodeState:
    """What became of that version of a resource at a proxy."""
    match resource_status(proxy, version):
        case ResourceStatus(state="acked"):
            return "applied"
        case ResourceStatus(state="nacked" | "not_applied"):
            return "rejected"
        case _:
            return "waiting"


def resource_status(proxy: ProxyStatus, version: str | None) -> ResourceStatus | None:
    """What is known of that version at a proxy; None when it was not sent, or something else since."""
    return next((status for status in proxy.resources if status.digest == version), None)


def _counts(states: list[NodeState]) -> Counts:
    return Counts(states.count("applied"), states.count("waiting"), states.count("rejected"))
