"""What a rule may do to a request, how often, and for how long."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, model_validator

from hfi_core.policy.base import Document, check

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: RFC 9110 section 5.5: visible characters, space and tab; anything else could split the response.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")

MAX_DELAY_MS = 3_600_000
MAX_DURATION_SECONDS = 31_536_000
MAX_BODY_BYTES = 65_536
MAX_ABORT_HEADERS = 32


def duration_ms(text: str) -> float:
    """Milliseconds of a duration such as ``250ms``, ``1.5s``, ``2m`` or ``1h``. Raises :class:`ValueError`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"not a duration: {text!r}")
    return float(found[1]) * _UNIT_MS[found[2]]


def _delay_text(value: str) -> str:
    check(_DURATION.fullmatch(value) is not None, "must be a duration, such as 250ms, 1.5s, 2m or 1h")
    check(0 < duration_ms(value) <= MAX_DELAY_MS, "must be longer than 0 and at most 1h")
    return value


def _percentage(value: Any) -> float:
    check(isinstance(value, int | float) and not isinstance(value, bool), "must be a number from 0 to 100")
    check(0 <= value <= 100, "must be from 0 to 100")
    millionths = value * 10_000
    check(abs(millionths - round(millionths)) < 1e-6, "must have at most four decimals")
    return float(value)


def _body(value: str) -> str:
    check(len(value.encode()) <= MAX_BODY_BYTES, f"must be at most {MAX_BODY_BYTES} bytes")
    return value


def _header_name(value: str) -> str:
    check(_HEADER_NAME.fullmatch(value) is not None, "is not a header name")
    return value


def _header_value(value: str) -> str:
    check(_HEADER_VALUE.fullmatch(value) is not None, "must hold no control characters")
    return value


Percentage = Annotated[float, BeforeValidator(_percentage)]
HeaderName = Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_header_name)]
HeaderValue = Annotated[StrictStr, Field(max_length=4096), AfterValidator(_header_value)]


class Delay(Document):
    """Wait before the request goes on. ``percentage`` is a roll of its own, for this part alone."""

    fixed_delay: Annotated[StrictStr, Field(alias="fixedDelay"), AfterValidator(_delay_text)]
    percentage: Percentage | None = None


class Abort(Document):
    """Answer in the upstream's place. ``percentage`` is a roll of its own, for this part alone."""

    http_status: Annotated[StrictInt, Field(alias="httpStatus", ge=200, le=599)]
    body: Annotated[StrictStr, AfterValidator(_body)] | None = None
    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=MAX_ABORT_HEADERS)] | None = None
    percentage: Percentage | None = None


class Fault(Document):
    """One event: ``start_delay_ms``, then the delay, then the abort.

    ``percentage`` (0–100, four decimals) is rolled once for the rule. ``duration_seconds`` counts from when
    the policy was applied; 0 means no end.
    """

    percentage: Percentage = 100.0
    delay: Delay | None = None
    abort: Abort | None = None
    start_delay_ms: Annotated[StrictInt, Field(ge=0, le=MAX_DELAY_MS)] = 0
    duration_seconds: Annotated[StrictInt, Field(ge=0, le=MAX_DURATION_SECONDS)] = 0

    @model_validator(mode="after")
    def _something(self) -> Self:
        check(self.delay is not None or self.abort is not None, "needs a delay, an abort, or both")
        return self
