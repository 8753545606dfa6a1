"""Query parameters, read strictly."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import QueryParams
from starlette.requests import Request

from hfi_sse.errors import ParameterInvalid

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s)")


def only(request: Request, known: Collection[str]) -> QueryParams:
    """The query parameters, which must all be known: a misspelt ``dryRun`` must not write."""
    for name in request.query_params:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ParameterInvalid(name, f"is not a parameter of this resource; known: {names}")
    return request.query_params


def flag(params: QueryParams, name: str) -> bool:
    """``true`` or ``false``; absent is false, and a bare ``?name`` is true."""
    text = params.get(name)
    if text is None or text == "false":
        return False
    if text in ("true", ""):
        return True
    raise ParameterInvalid(name, "must be true or false")


def number(params: QueryParams, name: str, default: int, low: int, high: int) -> int:
    """A whole number in a range."""
    text = params.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise ParameterInvalid(name, f"must be a whole number from {low} to {high}")
    return int(text)


def seconds(params: QueryParams, name: str, default: float, high: float) -> float:
    """A duration such as ``25s`` or ``500ms``, in seconds."""
    text = params.get(name)
    if text is None:
        return default
    found = _DURATION.fullmatch(text)
    value = float(found[1]) * (0.001 if found[2] == "ms" else 1) if found else high + 1
    if value > high:
        raise ParameterInvalid(name, f"must be a duration such as 25s or 500ms, at most {high:g}s")
    return value


def pairs(params: QueryParams, name: str) -> dict[str, str]:
    """``?name=k=v``, as often as wanted, with each key once."""
    result: dict[str, str] = {}
    for text in params.getlist(name):
        key, equals, value = text.partition("=")
        if not equals or not key or key in result:
            raise ParameterInvalid(name, f"must be key=value with each key once, not {text!r}")
        result[key] = value
    return result
