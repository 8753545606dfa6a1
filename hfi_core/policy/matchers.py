"""What a rule may look at in a request. Semantics: ``docs/policies.md``; they are the engine's to enforce.

The models say what *shape* is allowed. Whether a regex compiles is asked of the engine itself
(:mod:`hfi_core.policy.engine`), for only that answer is true in the data plane.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from hfi_core.policy.base import Document, check, exactly_one, given

#: RFC 9110 section 5.1: a token, with the leading colon of HTTP/2 pseudo-headers allowed.
_HEADER_NAME = re.compile(r":?[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: RFC 9110 section 9.1: methods are case-sensitive tokens.
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Z]+")

#: Longer patterns are almost surely a mistake, and compile to more memory than a worker should give one rule.
MAX_REGEX = 1024
MAX_TEXT = 4096
MAX_HEADER_MATCHERS = 32
MAX_QUERY_MATCHERS = 32
MAX_ANY_OF = 16
#: The match of a rule is the first. Every one more is a call more on the worker's stack.
MAX_DEPTH = 4
#: Longer retrying is a mistake of its own.
MAX_ATTEMPT = 1000

_GRPC_SERVICE = re.compile(r"[A-Za-z0-9_.]+")
_GRPC_METHOD = re.compile(r"[A-Za-z0-9_]+")
#: How deep the match being validated lies; a validator is told of its value alone.
_depth: ContextVar[int] = ContextVar("_depth", default=1)


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


def _lower(value: str) -> str:
    check(re.search("[A-Z]", value) is None, "must be in lower case, as the authority is compared")
    return value


def _grpc_service(value: str) -> str:
    check(_GRPC_SERVICE.fullmatch(value) is not None, "must be a service with its package, such as shop.v1.Cart")
    return value


def _grpc_method(value: str) -> str:
    check(_GRPC_METHOD.fullmatch(value) is not None, "must be a method of a service, such as AddItem")
    return value


def _some(matches: tuple[Any, ...]) -> tuple[Any, ...]:
    check(len(matches) > 0, "needs at least one match")
    return matches


MatchableHeader = Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_header_name)]
AuthorityText = Annotated[StrictStr, Field(min_length=1, max_length=253), AfterValidator(_lower)]


class PathMatch(Document):
    """Exactly one way of matching the path, without query and fragment, case-sensitively."""

    exact: PathText | None = None
    prefix: PathText | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("exact", "prefix", "regex"))
        return self


class MethodMatch(Document):
    """The request method."""

    exact: Annotated[StrictStr, Field(min_length=1, max_length=64), AfterValidator(_method)]


class _NamedMatch(Document):
    name: Annotated[StrictStr, Field(min_length=1, max_length=256)]
    exact: HeaderText | None = None
    prefix: PartText | None = None
    suffix: PartText | None = None
    contains: PartText | None = None
    regex: Regex | None = None
    present: StrictBool | None = None
    invert: StrictBool = False

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("exact", "prefix", "suffix", "contains", "regex", "present"))
        return self


class HeaderMatch(_NamedMatch):
    """One header. A repeated header matches when any of its values does; ``invert`` negates that whole answer."""

    name: MatchableHeader


class QueryMatch(_NamedMatch):
    """One parameter of the query, decoded as a form's: like a header, but its name has a case."""


class AuthorityMatch(Document):
    """Exactly one way of matching ``:authority``, which is compared in lower case."""

    exact: AuthorityText | None = None
    prefix: AuthorityText | None = None
    suffix: AuthorityText | None = None
    contains: AuthorityText | None = None
    regex: Regex | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("exact", "prefix", "suffix", "contains", "regex"))
        return self


class GrpcMatch(Document):
    """A call of gRPC: any, one of a service, or one of a method."""

    service: Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_grpc_service)] | None = None
    method: Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_grpc_method)] | None = None


def _either(number: Attempt | StatusMatch) -> None:
    bounds = given(number, ("min", "max"))
    check((number.exact is None) == bool(bounds), "needs either exact, or min, max or both")
    check(number.min is None or number.max is None or number.min <= number.max, "holds a min above its max")


class Attempt(Document):
    """Which try it is, by ``x-envoy-attempt-count``; a request without that header is the first."""

    exact: Annotated[StrictInt, Field(ge=1, le=MAX_ATTEMPT)] | None = None
    min: Annotated[StrictInt, Field(ge=1, le=MAX_ATTEMPT)] | None = None
    max: Annotated[StrictInt, Field(ge=1, le=MAX_ATTEMPT)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        _either(self)
        return self


class StatusMatch(Document):
    """The status of a response: one, or a range."""

    exact: Annotated[StrictInt, Field(ge=100, le=599)] | None = None
    min: Annotated[StrictInt, Field(ge=100, le=599)] | None = None
    max: Annotated[StrictInt, Field(ge=100, le=599)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        _either(self)
        return self


class ResponseMatch(Document):
    """What the response must be. The rule is asked when its headers are there."""

    status: StatusMatch


def _deeper(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    depth = _depth.get() + 1
    check(depth <= MAX_DEPTH, "is nested too deeply: at most four matches within each other")
    inside = _depth.set(depth)
    try:
        return validate(value)
    finally:
        _depth.reset(inside)


InnerMatch = Annotated["RequestMatch", WrapValidator(_deeper)]


class RequestMatch(Document):
    """What a request must be. All of it must hold; an empty match holds for every request."""

    path: PathMatch | None = None
    method: MethodMatch | None = None
    authority: AuthorityMatch | None = None
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=MAX_HEADER_MATCHERS)] = ()
    query: Annotated[tuple[QueryMatch, ...], Field(max_length=MAX_QUERY_MATCHERS)] = ()
    grpc: GrpcMatch | None = None
    attempt: Attempt | None = None
    any_of: Annotated[
        Annotated[tuple[InnerMatch, ...], Field(max_length=MAX_ANY_OF), AfterValidator(_some)] | None,
        Field(alias="anyOf"),
    ] = None
    not_: Annotated[InnerMatch | None, Field(alias="not")] = None


class Match(RequestMatch):
    """The match of a rule, which may look at the response too."""

    response: ResponseMatch | None = None
