"""What a rule changes in a request, or in its response, that goes on."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator

from hfi_core.policy.base import Document, check, given
from hfi_core.policy.values import MAX_HEADERS, Body, HeaderName, HeaderValue, Percentage, Status

#: With one of these changed, a message would be another than its framing says, or reach somebody else. Those that
#: are about one connection alone (RFC 9113, section 8.2.2) would break HTTP/2.
BOUND_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "upgrade"}
)

MAX_TRUNCATE_BYTES = 2**40
MAX_KBPS = 10_000_000

_BODY_AND_BANDWIDTH = (
    "holds body and bandwidth; only one of them is allowed: "
    "the bandwidth slows the upstream's own body, which is replaced"
)


#: Says in an answer which rule it comes from.
MARK = "x-hfi-fault"


def _changeable(value: str) -> str:
    check(
        value.lower() not in BOUND_HEADERS,
        "is a header that no rule may change: the message would fall apart, or go astray",
    )
    check(value.lower() != MARK, "is HFI's own mark; mark: false in the spec leaves it away")
    return value


ChangeableName = Annotated[HeaderName, AfterValidator(_changeable)]
#: Headers that a rule writes, into an answer of its own as well.
Headers = Annotated[dict[ChangeableName, HeaderValue], Field(max_length=MAX_HEADERS)]


class Edits(Document):
    """What becomes of headers: removals first, then ``set`` (every value of it), then ``add`` (one value more)."""

    set: Headers | None = None
    add: Headers | None = None
    remove: Annotated[tuple[ChangeableName, ...], Field(max_length=MAX_HEADERS)] | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        edits = self.set or self.add or self.remove
        check(bool(edits), "changes nothing: needs something to set, add or remove")
        return self


class RequestRewrite(Document):
    """Change the request. ``percentage`` is a roll of its own, for this part alone."""

    headers: Edits
    percentage: Percentage | None = None


class Truncate(Document):
    """So many bytes of the body, then a reset."""

    bytes: Annotated[StrictInt, Field(ge=0, le=MAX_TRUNCATE_BYTES)]


class Bandwidth(Document):
    """The body comes at so many kibibytes a second."""

    kbps: Annotated[StrictInt, Field(ge=1, le=MAX_KBPS)]


class ResponseRewrite(Document):
    """Change the response. ``percentage`` is a roll of its own, for this part alone."""

    status: Status | None = None
    headers: Edits | None = None
    body: Body | None = None
    truncate: Truncate | None = None
    bandwidth: Bandwidth | None = None
    percentage: Percentage | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        parts = given(self, ("status", "headers", "body", "truncate", "bandwidth"))
        check(len(parts) > 0, "needs at least one of status, headers, body, truncate and bandwidth")
        check(not {"body", "truncate"} <= set(parts), "holds body and truncate; only one of them is allowed")
        check(not {"body", "bandwidth"} <= set(parts), _BODY_AND_BANDWIDTH)
        return self
