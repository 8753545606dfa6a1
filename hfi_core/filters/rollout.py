"""Which module each node runs, and how that changes: one document, and a state machine over it. Pure.

Laws:

1. There is one stable module, and at most one candidate under way. Every function here takes a document and answers the
   next one, or raises :class:`RolloutConflict`; nothing else changes one.
2. What a node runs follows from the document and the node alone, so that all replicas agree. Its place in a share is a
   hash of its id and the rollout's: the same nodes stay in it while the share grows, and another rollout begins with
   others.
3. Each attempt has a ``generation`` of its own, in the filter's configuration: an Envoy that rejected a module before
   would acknowledge the same bytes without applying them.
4. What has ended stays as it ended, with the reason, until the next start.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from hfi_core.errors import RolloutConflict
from hfi_core.filters.manifest import Manifest
from hfi_core.policy.model import Selector
from hfi_core.snapshot import NodeIdentity

#: Where ``advance`` goes when it is not told, in percent.
STEPS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
WHOLE = 100.0
#: Events that a document keeps; the oldest go first.
MAX_EVENTS = 50
#: What a rollout is given to show that it does well, unless it is told otherwise; see ``judgement``.
DEFAULT_WATCH_SECONDS = 60
#: A poll that has ended counts as one for 5 s more: what is shorter than twice that tells nothing.
MIN_WATCH_SECONDS, MAX_WATCH_SECONDS = 10, 86_400

RolloutState = Literal["running", "paused", "completed", "rolled_back"]
EventKind = Literal["stable", "started", "advanced", "paused", "resumed", "completed", "rolled_back"]
#: Why a rollout went back: somebody said so, or by itself.
Cause = Literal["operator", "rejected", "errors", "silent"]


class _Stored(BaseModel):
    # What a newer replica adds is ignored by an older one, and lost when that writes.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Assignment(_Stored):
    """A module as nodes run it: which one, and the generation of their configuration."""

    version: StrictStr
    digest: StrictStr
    generation: Annotated[StrictInt, Field(ge=1)]


class Limits(_Stored):
    """For how long each node is watched, and how many errors more than other nodes it may have by then."""

    watch_seconds: Annotated[StrictInt, Field(ge=MIN_WATCH_SECONDS, le=MAX_WATCH_SECONDS)] = DEFAULT_WATCH_SECONDS
    max_errors: Annotated[StrictInt, Field(ge=0)] = 0


class Rollout(_Stored):
    """A candidate on its way. ``share`` is in percent of all nodes; ``selector`` covers nodes besides, or None."""

    id: StrictStr
    candidate: Assignment
    share: Annotated[float, Field(ge=0, le=WHOLE)]
    selector: Selector | None = None
    state: RolloutState = "running"
    cause: Cause | None = None
    reason: StrictStr = ""
    limits: Limits = Limits()
    started_at_ms: StrictInt
    changed_at_ms: StrictInt

    @property
    def active(self) -> bool:
        """Whether nodes run the candidate because of it."""
        return self.state in ("running", "paused")

    def covers(self, node: NodeIdentity) -> bool:
        """Whether that node is to run the candidate, while it is active."""
        if self.selector is not None and self.selector.covers(node.cluster, dict(node.labels)):
            return True
        return place(self.id, node.id) < self.share


class RolloutEvent(_Stored):
    """Something that happened, in words. ``cause`` is there when it went back."""

    at_ms: StrictInt
    kind: EventKind
    detail: StrictStr
    cause: Cause | None = None


class RolloutDocument(_Stored):
    """Everything about what nodes run. ``generations`` is the last one that was given out."""

    stable: Assignment
    generations: Annotated[StrictInt, Field(ge=1)]
    rollout: Rollout | None = None
    events: tuple[RolloutEvent, ...] = ()

    @property
    def active(self) -> Rollout | None:
        """The rollout that is under way, or None."""
        return self.rollout if self.rollout is not None and self.rollout.active else None

    def serves(self, node: NodeIdentity) -> Assignment:
        """What that node is to run."""
        active = self.active
        return active.candidate if active is not None and active.covers(node) else self.stable

    def encode(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(exclude_none=True).encode()

    def _with(self, rollout: Rollout, event: RolloutEvent, **changed: object) -> Self:
        events = (*self.events, event)[-MAX_EVENTS:]
        return self.model_copy(update={"rollout": rollout, "events": events, **changed})


def place(rollout_id: str, node_id: str) -> float:
    """Where in the whole a node stands, from 0 (inclusive) to 100 (exclusive)."""
    digest = hashlib.sha256(f"{len(rollout_id)}:{rollout_id}{node_id}".encode(errors="surrogatepass")).digest()
    # 53 bits: a float holds them exactly, so that 100 is never reached by rounding.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53 * WHOLE


def first(module: Manifest, at_ms: int) -> RolloutDocument:
    """The document of a store that has none yet: everybody runs this."""
    event = RolloutEvent(at_ms=at_ms, kind="stable", detail=f"{module.version} is the stable module")
    stable = Assignment(version=module.version, digest=module.digest, generation=1)
    return RolloutDocument(stable=stable, generations=1, events=(event,))


def start(
    document: RolloutDocument,
    module: Manifest,
    rollout_id: str,
    at_ms: int,
    *,
    share: float = 0.0,
    selector: Selector | None = None,
    limits: Limits | None = None,
) -> RolloutDocument:
    """Have some nodes run another module. ``share`` and ``selector`` may be given both; one must be."""
    if (under_way := document.active) is not None:
        raise RolloutConflict(
            f"a rollout of {under_way.candidate.version} to {audience(under_way)} is {under_way.state}: advance it to "
            "its end, or roll it back"
        )
    if module.digest == document.stable.digest:
        raise RolloutConflict(f"{module.version} is the stable module already")
    if share <= 0 and selector is None:
        raise RolloutConflict("a rollout begins with a share above 0, or a selector")
    generation = document.generations + 1
    rollout = Rollout(
        id=rollout_id,
        candidate=Assignment(version=module.version, digest=module.digest, generation=generation),
        share=share,
        selector=selector,
        limits=limits or Limits(),
        started_at_ms=at_ms,
        changed_at_ms=at_ms,
    )
    detail = f"{module.version} to {audience(rollout)}, attempt {generation - 1}; stable is {document.stable.version}"
    return document._with(
        rollout, RolloutEvent(at_ms=at_ms, kind="started", detail=detail), generations=rollout.candidate.generation
    )


def advance(
    document: RolloutDocument,
    at_ms: int,
    share: float | None = None,
    *,
    resume: bool = False,
    unwatched: bool = False,
) -> RolloutDocument:
    """Go on: to that share, or to the next of :data:`STEPS`; from the whole, the candidate becomes the stable module.

    What is paused is advanced only with ``resume``; with that and no share, it goes on where it was. It becomes the
    stable module when the nodes that came last have been watched, or with ``unwatched`` before: from then on nothing
    takes it back by itself.
    """
    rollout = _under_way(document)
    if rollout.state == "paused":
        if not resume:
            raise RolloutConflict(
                f"the rollout of {rollout.candidate.version} is paused: say that it is to resume (advance --resume)"
            )
        if share is None or share == rollout.share:
            resumed = rollout.model_copy(update={"state": "running", "changed_at_ms": at_ms})
            return document._with(
                resumed, RolloutEvent(at_ms=at_ms, kind="resumed", detail=f"covers {audience(rollout)}")
            )
    if share is None and rollout.share >= WHOLE:
        if not unwatched:
            _require_watched(document, rollout, at_ms)
        return _complete(document, rollout, at_ms)
    wanted = next(step for step in STEPS if step > rollout.share) if share is None else share
    if wanted <= rollout.share:
        raise RolloutConflict(
            f"the rollout of {rollout.candidate.version} covers {audience(rollout)}, and advances to a larger share; "
            "to go back, roll it back"
        )
    grown = rollout.model_copy(update={"share": wanted, "state": "running", "changed_at_ms": at_ms})
    return document._with(grown, RolloutEvent(at_ms=at_ms, kind="advanced", detail=f"to {audience(grown)}"))


def pause(document: RolloutDocument, at_ms: int) -> RolloutDocument:
    """Let nobody advance it. Who has the candidate keeps it, and it is watched as before."""
    rollout = _under_way(document)
    if rollout.state == "paused":
        raise RolloutConflict(f"the rollout of {rollout.candidate.version} is paused already")
    paused = rollout.model_copy(update={"state": "paused", "changed_at_ms": at_ms})
    return document._with(paused, RolloutEvent(at_ms=at_ms, kind="paused", detail=f"covers {audience(rollout)}"))


def roll_back(document: RolloutDocument, at_ms: int, cause: Cause, reason: str) -> RolloutDocument:
    """Everybody runs the stable module again, because of that."""
    rollout = _under_way(document)
    back = rollout.model_copy(update={"state": "rolled_back", "cause": cause, "reason": reason, "changed_at_ms": at_ms})
    detail = f"{rollout.candidate.version} to {document.stable.version}: {reason}"
    return document._with(back, RolloutEvent(at_ms=at_ms, kind="rolled_back", detail=detail, cause=cause))


def _complete(document: RolloutDocument, rollout: Rollout, at_ms: int) -> RolloutDocument:
    done = rollout.model_copy(update={"state": "completed", "changed_at_ms": at_ms})
    # With its generation: nobody who has it is sent anything.
    event = RolloutEvent(at_ms=at_ms, kind="completed", detail=f"{rollout.candidate.version} is the stable module")
    return document._with(done, event, stable=rollout.candidate)


def _require_watched(document: RolloutDocument, rollout: Rollout, at_ms: int) -> None:
    grown = (event.at_ms for event in document.events if event.kind in ("started", "advanced"))
    left_ms = max(grown, default=rollout.started_at_ms) + rollout.limits.watch_seconds * 1000 - at_ms
    if left_ms > 0:
        raise RolloutConflict(
            f"the nodes that {rollout.candidate.version} came to last are watched for {-(-left_ms // 1000)} s more; "
            "once it is the stable module, nothing takes it back by itself: advance again then, or now with --unwatched"
        )


def _under_way(document: RolloutDocument) -> Rollout:
    if document.active is None:
        ended = document.rollout
        last = f"; that of {ended.candidate.version} is {ended.state.replace('_', ' ')}" if ended is not None else ""
        raise RolloutConflict(f"no rollout is under way{last}")
    return document.active


def percent(share: float) -> str:
    """``12.5%``."""
    return f"{share:.4f}".rstrip("0").rstrip(".") + "%"


def audience(rollout: Rollout) -> str:
    """Whom it covers, in words."""
    words = [percent(rollout.share)] if rollout.share else []
    if rollout.selector is not None:
        parts = [f"cluster {rollout.selector.cluster}"] if rollout.selector.cluster is not None else []
        parts += [f"{key}={value}" for key, value in rollout.selector.labels.items()]
        words.append(", ".join(parts) or "all")
    return " and ".join(words)
