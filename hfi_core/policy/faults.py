"""What a rule may do to a request, how often, and for how long."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from hfi_core.policy.base import Document, check, check_members, exactly_one, given
from hfi_core.policy.delays import MAX_DELAY_MS, Delay
from hfi_core.policy.matchers import MatchableHeader
from hfi_core.policy.rewrites import Headers, RequestRewrite, ResponseRewrite
from hfi_core.policy.values import Body, Percentage, Status

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

MAX_DURATION_SECONDS = 31_536_000
MAX_TIMES = 1_000_000_000
MAX_STEPS = 64
#: RFC 9110, section 6.4.1. Over HTTP/1.1 a client would take a body for the beginning of the next answer.
NO_BODY = (204, 304)

#: Members of an abort that would do nothing beside the other ways of ending a request.
_ONLY_WITH = {
    "body": ("httpStatus",),
    "grpcMessage": ("grpcStatus",),
    "headers": ("httpStatus", "grpcStatus"),
}
_LATE = "comes too late: the rule looks at the response"


def _true(value: bool) -> bool:
    check(value, "must be true")
    return value


def _message(value: str) -> str:
    check(_CONTROL.search(value) is None, "must hold no control characters")
    return value


def _step(value: Any) -> int | str:
    status = isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599
    check(status or value == "pass", "must be a status from 200 to 599, or pass")
    return value  # type: ignore[no-any-return]


def _steps(steps: tuple[int | str, ...]) -> tuple[int | str, ...]:
    check(0 < len(steps) <= MAX_STEPS, f"needs 1 to {MAX_STEPS} steps, has {len(steps)}")
    check(any(step != "pass" for step in steps), "lets every request pass; name a status")
    return steps


#: A union of int and str would report its problems below the step, once for each of the two.
Step = Annotated[
    int | Literal["pass"],
    PlainValidator(_step),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 200, "maximum": 599}, {"const": "pass"}]}),
]


class Abort(Document):
    """End the request here: with an answer, with one of gRPC, or without any.

    ``percentage`` is a roll of its own, for this part alone.
    """

    http_status: Annotated[Status | None, Field(alias="httpStatus")] = None
    grpc_status: Annotated[Annotated[StrictInt, Field(ge=0, le=16)] | None, Field(alias="grpcStatus")] = None
    reset: Annotated[StrictBool, AfterValidator(_true)] | None = None
    body: Body | None = None
    grpc_message: Annotated[
        Annotated[StrictStr, Field(max_length=1024), AfterValidator(_message)] | None, Field(alias="grpcMessage")
    ] = None
    headers: Headers | None = None
    percentage: Percentage | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        way = exactly_one(self, ("http_status", "grpc_status", "reset"))
        check_members(
            ((member,), f"goes with {' and '.join(_ONLY_WITH[member])} only")
            for member in given(self, ("body", "grpc_message", "headers"))
            if way not in _ONLY_WITH[member]
        )
        if self.body and self.http_status in NO_BODY:
            check_members([(("body",), f"goes with no answer of status {self.http_status}: it may have none")])
        return self


class Sticky(Document):
    """Rolls are made from the value of this header, so that the same value always falls the same way."""

    header: MatchableHeader


class Fault(Document):
    """One event: ``start_delay_ms``, then the delay, then the abort; or else a change of request or response.

    ``percentage`` (0–100, four decimals) is rolled once for the rule. ``times`` is how often it fires at most, in
    one proxy; ``sequence`` what each firing does in turn. ``duration_seconds`` counts from when the policy was
    applied; 0 means no end.
    """

    percentage: Percentage = 100.0
    sticky: Sticky | None = None
    times: Annotated[StrictInt, Field(ge=1, le=MAX_TIMES)] | None = None
    delay: Delay | None = None
    abort: Abort | None = None
    sequence: Annotated[tuple[Step, ...], AfterValidator(_steps)] | None = None
    request: RequestRewrite | None = None
    response: ResponseRewrite | None = None
    start_delay_ms: Annotated[StrictInt, Field(ge=0, le=MAX_DELAY_MS)] = 0
    duration_seconds: Annotated[StrictInt, Field(ge=0, le=MAX_DURATION_SECONDS)] = 0

    @model_validator(mode="after")
    def _together(self) -> Self:
        parts = set(given(self, ("delay", "abort", "sequence", "request", "response")))
        check(bool(parts), "needs at least one of delay, abort, sequence, request and response")
        check(not {"abort", "sequence"} <= parts, "holds abort and sequence; only one of them is allowed")
        check(
            not (parts & {"abort", "sequence"} and parts & {"request", "response"}),
            "holds an abort or a sequence beside request or response: an aborted request has neither",
        )
        return self

    @property
    def counts(self) -> bool:
        """Whether what it does depends on how often it did."""
        return self.times is not None or self.sequence is not None

    def too_late(self) -> list[tuple[tuple[str, ...], str]]:
        """What a rule that looks at the response cannot do any more: places within the fault, and why."""
        problems: list[tuple[tuple[str, ...], str]] = [
            ((part,), _LATE) for part in given(self, ("abort", "sequence", "request"))
        ]
        if self.delay is not None and self.delay.phase == "request":
            problems.append((("delay",), f"{_LATE}; say phase: response"))
        if self.response is not None and self.response.bandwidth is not None:
            problems.append((("response", "bandwidth"), _LATE))
        return problems
