"""For how long a request, or its response, is held back."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, model_validator

from hfi_core.policy.base import Document, check, exactly_one
from hfi_core.policy.values import Percentage

_DURATION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
#: Without zeros in front, for p5 and p05 would be the same one twice.
_PERCENTILE = re.compile(r"p(0|[1-9][0-9]?|100)(?:\.([0-9]{1,3}))?")

#: An hour. Whatever waits longer has been given up by its client long before.
MAX_DELAY_MS = 3_600_000
MAX_SIGMA = 10
MAX_SHAPE = 100
MAX_PERCENTILES = 32


def _duration_ns(text: str) -> int:
    # Whole nanoseconds, as the engine counts them: two durations must compare alike in both.
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"not a duration: {text!r}")
    whole, decimals, unit = found.groups()
    return (int(whole) * 1_000_000 + int((decimals or "").ljust(6, "0"))) * _UNIT_MS[unit]


def duration_ms(text: str) -> float:
    """Milliseconds of a duration such as ``250ms``, ``1.5s``, ``2m`` or ``1h``. Raises :class:`ValueError`."""
    return _duration_ns(text) / 1_000_000


def _duration_or_zero(value: str) -> str:
    check(_DURATION.fullmatch(value) is not None, "must be a duration, such as 250ms, 1.5s, 2m or 1h")
    check(duration_ms(value) <= MAX_DELAY_MS, "must be at most 1h")
    return value


def _duration(value: str) -> str:
    _duration_or_zero(value)
    check(_duration_ns(value) > 0, "must be longer than 0 and at most 1h")
    return value


def _number(value: Any, most: int) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
    check(good, f"must be a number above 0, at most {most}")
    return float(value)


def _sigma(value: Any) -> float:
    return _number(value, MAX_SIGMA)


def _shape(value: Any) -> float:
    return _number(value, MAX_SHAPE)


def _percentile(value: str) -> str:
    good = _PERCENTILE.fullmatch(value) is not None and _thousandths(value) <= 100_000
    check(good, "is not a percentile; one looks like p50 or p99.9")
    return value


def _thousandths(percentile: str) -> int:
    whole, _, decimals = percentile.removeprefix("p").partition(".")
    return int(whole) * 1_000 + int(decimals.ljust(3, "0"))


def _ascending(value: dict[str, str]) -> dict[str, str]:
    check(0 < len(value) <= MAX_PERCENTILES, f"needs 1 to {MAX_PERCENTILES} percentiles, has {len(value)}")
    points = sorted((_thousandths(key), _duration_ns(text)) for key, text in value.items())
    pairs = list(pairwise(points))
    check(all(one[0] < next[0] for one, next in pairs), "holds one percentile twice")
    check(all(one[1] <= next[1] for one, next in pairs), "must ascend: no higher percentile may have a shorter delay")
    check(points[-1][1] > 0, "delays nothing: the highest percentile must be longer than 0")
    return value


#: Above 0, at most an hour.
Duration = Annotated[StrictStr, AfterValidator(_duration)]
#: From 0 to an hour.
DurationOrZero = Annotated[StrictStr, AfterValidator(_duration_or_zero)]
Percentiles = Annotated[
    dict[Annotated[StrictStr, AfterValidator(_percentile)], DurationOrZero], AfterValidator(_ascending)
]


class Uniform(Document):
    """Any duration in between, alike."""

    min: DurationOrZero
    max: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        check(_duration_ns(self.min) <= _duration_ns(self.max), "holds a min above its max")
        return self


class Normal(Document):
    """Normally distributed, cut off at 0 and at ``max``."""

    mean: DurationOrZero
    stddev: Duration
    max: Duration


class LogNormal(Document):
    """The logarithm is normally distributed, with the standard deviation ``sigma``; cut off at ``max``."""

    median: Duration
    sigma: Annotated[float, BeforeValidator(_sigma)]
    max: Duration


class Pareto(Document):
    """A heavy tail above ``scale``: the smaller ``shape``, the heavier; cut off at ``max``."""

    scale: Duration
    shape: Annotated[float, BeforeValidator(_shape)]
    max: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        check(_duration_ns(self.scale) <= _duration_ns(self.max), "holds a scale above its max")
        return self


class Delay(Document):
    """Wait before the request, or its response, goes on: a duration, or how it is drawn anew for each request.

    ``percentage`` is a roll of its own, for this part alone.
    """

    fixed_delay: Annotated[Duration | None, Field(alias="fixedDelay")] = None
    uniform: Uniform | None = None
    normal: Normal | None = None
    log_normal: Annotated[LogNormal | None, Field(alias="logNormal")] = None
    pareto: Pareto | None = None
    percentiles: Percentiles | None = None
    phase: Literal["request", "response"] = "request"
    percentage: Percentage | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("fixed_delay", "uniform", "normal", "log_normal", "pareto", "percentiles"))
        return self
