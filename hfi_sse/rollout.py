"""``/v1/filters/rollout``: which nodes run which module, and changing that."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from hfi_core.filters.progress import Counts, VersionOf, progress
from hfi_core.filters.rollout import (
    DEFAULT_WATCH_SECONDS,
    MAX_WATCH_SECONDS,
    MIN_WATCH_SECONDS,
    Assignment,
    Limits,
    Rollout,
    RolloutDocument,
    RolloutEvent,
)
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import ROLLOUT
from hfi_core.policy.model import Selector
from hfi_core.policy.validation import shape_problems
from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.replicas.fleet import Membership
from hfi_sse import params
from hfi_sse.errors import BodyInvalid, NotReady
from hfi_sse.media import answer, has_body, read_document

Share = Annotated[float, Field(gt=0, le=100, strict=True)]
MAX_REASON = 1_024


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartRequest(_Body):
    """Which module, and for whom: ``share`` percent of all nodes, those that ``selector`` covers, or both."""

    version: StrictStr
    share: Share | None = None
    selector: Selector | None = None
    watch_seconds: Annotated[StrictInt, Field(ge=MIN_WATCH_SECONDS, le=MAX_WATCH_SECONDS, alias="watchSeconds")] = (
        DEFAULT_WATCH_SECONDS
    )
    max_errors: Annotated[StrictInt, Field(ge=0, alias="maxErrors")] = 0


class AdvanceRequest(_Body):
    """To which share, or to the next step; ``resume`` what is paused, and end it also ``unwatched``."""

    share: Share | None = None
    resume: StrictBool = False
    unwatched: StrictBool = False


class RollBackRequest(_Body):
    """Why, in words."""

    reason: Annotated[StrictStr, Field(max_length=MAX_REASON)] = "rolled back by hand"


B = TypeVar("B", bound=_Body)


class RolloutRoutes:
    """The rollout, and what can be done with it."""

    def __init__(
        self,
        rollouts: RolloutService,
        proxies: ProxyRegistry,
        fleet: Membership | None,
        version_of: VersionOf,
        max_body_bytes: int,
    ) -> None:
        self._rollouts = rollouts
        self._proxies = proxies
        self._fleet = fleet
        self._version_of = version_of
        self._max_body = max_body_bytes

    async def get(self, request: Request) -> Response:
        """How it stands, and how far it has come among the proxies."""
        params.only(request, ())
        state = self._rollouts.state()
        document = state.document
        if document is None:
            why = state.broken.get(ROLLOUT)
            raise NotReady(
                [f"the rollout document cannot be read: {why}" if why else "the store has no stable filter module yet"]
            )
        return await self._answer(request, document)

    async def start(self, request: Request) -> Response:
        """Start a rollout."""
        body = await self._read(request, StartRequest)
        limits = Limits(watch_seconds=body.watch_seconds, max_errors=body.max_errors)
        document = await self._rollouts.start(
            body.version, share=body.share or 0.0, selector=body.selector, limits=limits
        )
        return await self._answer(request, document)

    async def advance(self, request: Request) -> Response:
        """Go on."""
        body = await self._read(request, AdvanceRequest)
        document = await self._rollouts.advance(body.share, resume=body.resume, unwatched=body.unwatched)
        return await self._answer(request, document)

    async def pause(self, request: Request) -> Response:
        """Let nobody advance it."""
        await self._read(request, _Body)
        return await self._answer(request, await self._rollouts.pause())

    async def roll_back(self, request: Request) -> Response:
        """Back to the stable module."""
        body = await self._read(request, RollBackRequest)
        return await self._answer(request, await self._rollouts.roll_back("operator", body.reason))

    async def _read(self, request: Request, kind: type[B]) -> B:
        params.only(request, ())
        document = await read_document(request, self._max_body) if has_body(request.headers) else {}
        try:
            return kind.model_validate(document)
        except ValidationError as error:
            raise BodyInvalid(shape_problems(error)) from error

    def _known(self) -> Iterable[ProxyStatus]:
        """The proxies of all replicas, where there are others."""
        return self._proxies.list() if self._fleet is None else (known.status for known in self._fleet.known())

    async def _answer(self, request: Request, document: RolloutDocument) -> Response:
        found = progress(document, self._known(), self._version_of)
        body = {
            "stable": _assignment(document.stable),
            "rollout": None if document.rollout is None else _rollout(document.rollout),
            "nodes": {"candidate": _counts(found.candidate), "stable": _counts(found.stable)},
            "events": [_event(event) for event in document.events],
        }
        return await answer(request, body, headers={"cache-control": "no-store"})


def _assignment(assignment: Assignment) -> dict[str, Any]:
    return {"version": assignment.version, "digest": assignment.digest, "generation": assignment.generation}


def _rollout(rollout: Rollout) -> dict[str, Any]:
    selector = rollout.selector
    return {
        "id": rollout.id,
        "candidate": _assignment(rollout.candidate),
        "share": rollout.share,
        "selector": None if selector is None else selector.model_dump(exclude_defaults=True),
        "state": rollout.state,
        "cause": rollout.cause,
        "reason": rollout.reason,
        "watchSeconds": rollout.limits.watch_seconds,
        "maxErrors": rollout.limits.max_errors,
        "startedAtMs": rollout.started_at_ms,
        "changedAtMs": rollout.changed_at_ms,
    }


def _counts(counts: Counts) -> dict[str, int]:
    return {"applied": counts.applied, "waiting": counts.waiting, "rejected": counts.rejected}


def _event(event: RolloutEvent) -> dict[str, Any]:
    cause = {} if event.cause is None else {"cause": event.cause}
    return {"atMs": event.at_ms, "kind": event.kind, "detail": event.detail, **cause}
