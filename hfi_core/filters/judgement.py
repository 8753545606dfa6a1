"""Whether a candidate does well: what each node that runs it shows, and the verdict on that. Pure.

A node is watched from when it has applied the candidate, for the rollout's ``watch_seconds``. What speaks against the
candidate:

* **rejected**: a node says no to it.
* **errors**: within its watch a node has more errors than ``max_errors`` above the worst node of the stable module in
  the same time; so what befalls everybody, such as a control plane that is away, condemns nobody.
* **silent**: a node that goes silent within its watch, and stays so for as long; or one that is sent the candidate and
  does not answer for so long. Silent is who neither waits for rules nor has asked for them, at no replica; so silence
  counts only from when signs of life at others would have been seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hfi_core.filters.progress import NodeState
from hfi_core.filters.rollout import Cause, Limits

#: Rises of errors that are remembered; a node has one each time it reports, at most.
MAX_RISES = 100_000


@dataclass(frozen=True, slots=True)
class Sight:
    """One node that is to run the candidate. Times are Unix milliseconds.

    ``waiting_since_ms``: since when an answer of it is awaited; None when it is not connected, or has answered.
    ``applied_at_ms``: when it was first seen to run it. ``heard_at_ms``: its last sign of life; ``sure_since_ms``: from
    when on a later one would have been seen, wherever. ``errors``: what it has had since it runs it;
    ``errors_elsewhere``: the most that a node of the stable module has had in the same time.
    """

    node: str
    state: NodeState
    message: str = ""
    waiting_since_ms: int | None = None
    applied_at_ms: int | None = None
    heard_at_ms: int = 0
    sure_since_ms: int = 0
    errors: int = 0
    errors_elsewhere: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the candidate has to go."""

    cause: Cause
    reason: str


def judge(sights: Iterable[Sight], limits: Limits, now_ms: int) -> Verdict | None:
    """The first thing that speaks against the candidate, by weight and then by node; None when nothing does."""
    ordered = sorted(sights, key=lambda sight: sight.node)
    for question in (_rejected, _errors, _silent):
        for sight in ordered:
            if verdict := question(sight, limits, now_ms):
                return verdict
    return None


def _rejected(sight: Sight, limits: Limits, now_ms: int) -> Verdict | None:
    if sight.state != "rejected":
        return None
    return Verdict("rejected", f"node {sight.node} rejected it: {sight.message or 'without a word'}")


def _errors(sight: Sight, limits: Limits, now_ms: int) -> Verdict | None:
    if sight.applied_at_ms is None or now_ms >= sight.applied_at_ms + limits.watch_seconds * 1000:
        return None
    if sight.errors <= sight.errors_elsewhere + limits.max_errors:
        return None
    seconds = (now_ms - sight.applied_at_ms) / 1000
    return Verdict(
        "errors",
        f"node {sight.node} has had {sight.errors} errors in the {seconds:.0f} s since it runs it; "
        f"nodes of the stable module at most {sight.errors_elsewhere}, and {limits.max_errors} more are allowed",
    )


def _silent(sight: Sight, limits: Limits, now_ms: int) -> Verdict | None:
    watch_ms = limits.watch_seconds * 1000
    if sight.waiting_since_ms is not None and now_ms >= sight.waiting_since_ms + watch_ms:
        return Verdict("silent", f"node {sight.node} was sent it and has not answered for {limits.watch_seconds} s")
    if sight.applied_at_ms is None:
        return None
    # Before it was seen to run the candidate its silence says nothing about that.
    heard_ms = max(sight.heard_at_ms, sight.applied_at_ms)
    if heard_ms >= sight.applied_at_ms + watch_ms or now_ms < max(heard_ms, sight.sure_since_ms) + watch_ms:
        return None
    return Verdict("silent", f"node {sight.node} runs it and has not been heard of for {limits.watch_seconds} s")


class ErrorRises:
    """By how much each node's errors have risen, and when. Nodes report absolute values, from 0 after a restart."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._rises: deque[tuple[int, str, int]] = deque(maxlen=MAX_RISES)

    def observe(self, at_ms: int, errors: Mapping[str, int], fresh: Iterable[str] = ()) -> None:
        """Take what nodes have by now. Of ``fresh`` ones, which have just started, the first value is a rise too."""
        began = frozenset(fresh)
        for node, value in errors.items():
            last = self._last.get(node, 0 if node in began else value)
            rise = value - last if value >= last else value
            self._last[node] = value
            if rise:
                self._rises.append((at_ms, node, rise))
        for node in self._last.keys() - errors.keys():
            del self._last[node]

    def forget_before(self, at_ms: int) -> None:
        """What was before is not asked for any more."""
        while self._rises and self._rises[0][0] < at_ms:
            self._rises.popleft()

    def nodes(self) -> frozenset[str]:
        """Those that have had any."""
        return frozenset(node for _, node, _ in self._rises)

    def since(self, at_ms: int) -> dict[str, int]:
        """By how much, by node, from then on."""
        found: dict[str, int] = {}
        for when, node, rise in self._rises:
            if when >= at_ms:
                found[node] = found.get(node, 0) + rise
        return found
