"""Values that several parts of a fault have: percentages, headers, bodies, statuses."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr

from hfi_core.policy.base import check

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: RFC 9110 section 5.5: visible characters, space and tab; anything else could split the response.
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")

MAX_BODY_BYTES = 65_536
MAX_HEADERS = 32


def _percentage(value: Any) -> float:
    check(isinstance(value, int | float) and not isinstance(value, bool), "must be a number from 0 to 100")
    check(0 <= value <= 100, "must be from 0 to 100")
    millionths = value * 10_000
    check(abs(millionths - round(millionths)) < 1e-6, "must have at most four decimals")
    return float(value)


def _body(value: str) -> str:
    check(len(value.encode()) <= MAX_BODY_BYTES, f"must be at most {MAX_BODY_BYTES} bytes")
    return value


def header_name(value: str) -> str:
    """A token of RFC 9110 section 5.6.2."""
    check(_HEADER_NAME.fullmatch(value) is not None, "is not a header name")
    return value


def _header_value(value: str) -> str:
    check(_HEADER_VALUE.fullmatch(value) is not None, "must hold no control characters")
    return value


Percentage = Annotated[float, BeforeValidator(_percentage)]
Body = Annotated[StrictStr, AfterValidator(_body)]
HeaderName = Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(header_name)]
HeaderValue = Annotated[StrictStr, Field(max_length=4096), AfterValidator(_header_value)]
#: Those below 200 are no answer yet.
Status = Annotated[StrictInt, Field(ge=200, le=599)]
