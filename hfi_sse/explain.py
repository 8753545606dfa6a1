"""``POST /v1/explain``: which rule would decide a request, asked of the engine that proxies run."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
)
from starlette.requests import Request
from starlette.responses import Response

from hfi_core.errors import PolicyInvalid, Problem
from hfi_core.feed import Feed
from hfi_core.policies import PolicyService
from hfi_core.policy.base import check
from hfi_core.policy.stored import StoredPolicy
from hfi_core.policy.validation import shape_problems
from hfi_core.snapshot import Snapshot, event_data
from hfi_sse import params
from hfi_sse.errors import BodyInvalid, NotReady
from hfi_sse.media import answer, read_document
from hfi_sse.services import Services

MAX_PATH = 65_536


def _method(value: str) -> str:
    check(re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", value) is not None, "must be a method, such as GET")
    return value


def _path(value: str) -> str:
    check(value.startswith("/"), "must start with '/'")
    return value


def _headers(value: Any) -> Any:
    """``{name: value}``, ``{name: [value, …]}`` or ``[[name, value], …]``, as pairs."""
    pairs: list[Any]
    if isinstance(value, dict):
        pairs = [(k, v) for k, given in value.items() for v in (given if isinstance(given, list) else [given])]
    else:
        pairs = value if isinstance(value, list) else [None]
    for pair in pairs:
        check(
            isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(part, str) for part in pair),
            "must be an object of names and values, or a list of [name, value] pairs",
        )
    return [tuple(pair) for pair in pairs]


class Question(BaseModel):
    """A request to explain, and for whom: with neither ``cluster`` nor ``labels``, all rules are asked.

    ``status`` is that of the upstream's response; without it, rules that look at the response are left open.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Annotated[StrictStr, AfterValidator(_method)] = "GET"
    path: Annotated[StrictStr, Field(max_length=MAX_PATH), AfterValidator(_path)]
    headers: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_headers)] = ()
    status: Annotated[StrictInt, Field(ge=100, le=599)] | None = None
    cluster: StrictStr | None = None
    labels: dict[StrictStr, StrictStr] | None = None
    policy: Any = None


class ExplainRoute:
    """Asks the engine, over the view of the current snapshot that the named proxy has."""

    def __init__(self, services: Services) -> None:
        self._policies: PolicyService = services.policies
        self._feed: Feed = services.feed
        self._engine = services.engine
        self._clock: Callable[[], int] = services.clock
        self._max_body = services.settings.max_body_bytes

    async def post(self, request: Request) -> Response:
        """The engine's decision and steps. ``policy`` is tried as if it had been applied now, and not stored."""
        params.only(request, ())
        question = _question(await read_document(request, self._max_body))
        snapshot = self._feed.current
        if snapshot is None:
            raise NotReady([self._feed.trouble or "the store has not been read yet"])
        if question.policy is not None:
            snapshot = self._with(snapshot, question.policy)
        if question.cluster is None and question.labels is None:
            view = snapshot.whole_view()
        else:
            view = snapshot.view(question.cluster or "", question.labels or {})
        now = self._clock()
        asked = {
            "method": question.method,
            "path": question.path,
            "headers": [list(pair) for pair in question.headers],
            "status": question.status,
        }
        rules = json.loads(event_data(snapshot, view, now))
        found = await asyncio.to_thread(self._engine.explain, rules, asked, now)
        return await answer(request, {**found, "version": str(snapshot.version), "rules": view.rule_count})

    def _with(self, snapshot: Snapshot, document: Any) -> Snapshot:
        try:
            policy = self._policies.validate(document)
        except PolicyInvalid as error:
            raise BodyInvalid([Problem("/policy" + p.pointer, p.detail) for p in error.problems]) from error
        tried = StoredPolicy(policy, snapshot.version, self._clock())
        policies = MappingProxyType({**snapshot.policies, policy.name: tried})
        return Snapshot(snapshot.epoch, snapshot.version, policies, snapshot.broken)


def _question(document: Any) -> Question:
    try:
        return Question.model_validate(document)
    except ValidationError as error:
        raise BodyInvalid(shape_problems(error)) from error
