"""What a rule may look at in a request. Semantics: ``docs/policies.md``; they are the engine's to enforce.

The models say what *shape* is allowed. Whether a regex compiles is asked of the engine itself
(:mod:`hfi_core.policy.engine`), for only that answer is true in the data plane.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool, StrictStr, model_validator

from hfi_core.policy.base import Document, check

#: RFC 9110 section 5.1: a token, with the leading colon of HTTP/2 pseudo-headers allowed.
_HEADER_NAME = re.compile(r":?[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: RFC 9110 section 9.1: methods are case-sensitive tokens.
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Z]+")

#: Longer patterns are almost surely a mistake, and compile to more memory than a worker should give one rule.
MAX_REGEX = 1024
MAX_TEXT = 4096
MAX_HEADER_MATCHERS = 32


def _path_text(value: str) -> str:
    check(value.startswith("/"), "must start with '/'")
    check(
        "?" not in value and "#" not in value,
        "must hold no '?' and no '#': the path is matched without query and fragment",
    )
    return value


def _header_name(value: str) -> str:
    check(_HEADER_NAME.fullmatch(value) is not None, "must be a header name, such as x-user-group")
    return value


def _method(value: str) -> str:
    check(
        _METHOD.fullmatch(value) is not None,
        "must be a method in upper case, such as POST: methods are case-sensitive",
    )
    return value


PathText = Annotated[StrictStr, Field(max_length=MAX_TEXT), AfterValidator(_path_text)]
Regex = Annotated[StrictStr, Field(min_length=1, max_length=MAX_REGEX)]
HeaderText = Annotated[StrictStr, Field(max_length=MAX_TEXT)]
PartText = Annotated[StrictStr, Field(min_length=1, max_length=MAX_TEXT)]


def _exactly_one(model: Document, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    expected = ", ".join(names)
    check(len(given) > 0, f"needs exactly one of {expected}")
    check(len(given) < 2, f"holds {' and '.join(given)}; exactly one of {expected} is allowed")


class PathMatch(Document):
    """Exactly one way of matching the path, without query and fragment, case-sensitively."""

    exact: PathText | None = None
    prefix: PathText | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("exact", "prefix", "regex"))
        return self


class MethodMatch(Document):
    """The request method."""

    exact: Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_method)]


class HeaderMatch(Document):
    """One header. A repeated header matches when any of its values does; ``invert`` negates that whole answer."""

    name: Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_header_name)]
    exact: HeaderText | None = None
    prefix: PartText | None = None
    suffix: PartText | None = None
    contains: PartText | None = None
    regex: Regex | None = None
    present: StrictBool | None = None
    invert: StrictBool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("exact", "prefix", "suffix", "contains", "regex", "present"))
        return self


class Match(Document):
    """All of it must hold; an empty match holds for every request."""

    path: PathMatch | None = None
    method: MethodMatch | None = None
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=MAX_HEADER_MATCHERS)] = ()
