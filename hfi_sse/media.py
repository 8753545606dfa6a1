"""Media types: what a request body may be, what a client would rather have, and YAML that reads back as it was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import yaml
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hfi_core.errors import DocumentUnreadable
from hfi_core.policy.documents import parse_documents, parse_json
from hfi_sse.errors import BodyTooLarge, MediaTypeUnsupported

JSON = "application/json"
#: RFC 9512 registers ``application/yaml``; the others are what was in use before.
YAML = "application/yaml"
YAML_TYPES = frozenset({YAML, "application/x-yaml", "text/yaml", "text/x-yaml"})
CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_HELP = f"send {JSON} or {YAML}, in UTF-8; with curl: -H 'content-type: {YAML}' --data-binary @policy.yaml"


# -- in -----------------------------------------------------------------------------------------------------


async def read_document(request: Request, limit: int) -> Any:
    """The one document of a request's body.

    Raises :class:`MediaTypeUnsupported`, :class:`BodyTooLarge` and
    :class:`~hfi_core.errors.DocumentUnreadable`. Several documents in a body are refused: each policy has its
    own answer, and an answer for some of them would be neither yes nor no.
    """
    media_type = _media_type(request.headers)
    body = await _read_body(request, limit)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentUnreadable(f"not UTF-8: {error.reason} at byte {error.start}") from error
    if not text.strip():
        raise DocumentUnreadable("the body is empty; send one policy document")
    # In a thread: a mebibyte of YAML takes seconds to parse, and the loop has proxies to serve meanwhile.
    if media_type == JSON:
        return await asyncio.to_thread(parse_json, text)
    documents = await asyncio.to_thread(parse_documents, text)
    if len(documents) != 1:
        count = len(documents) or "no"
        raise DocumentUnreadable(
            f"the body holds {count} documents; send one in each request (hfi-cli policy apply does that for you)"
        )
    return documents[0]


def has_body(headers: Headers) -> bool:
    """Whether a request announces a body (RFC 9112, section 6.3); ``curl -X POST`` without data does not."""
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def read_bytes(request: Request, media_type: str, limit: int) -> bytes:
    """The body of a request that holds something of that type, as it is.

    Raises :class:`MediaTypeUnsupported` and :class:`BodyTooLarge`.
    """
    given = request.headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != media_type:
        raise MediaTypeUnsupported(f"{_told(given)}; send {media_type}")
    return await _read_body(request, limit)


def _media_type(headers: Headers) -> str:
    """:data:`JSON` or :data:`YAML`, whatever name and case the client used."""
    given = headers.get("content-type", "")
    essence, *parameters = (part.strip().lower() for part in given.split(";"))
    charset = next(
        (value.strip('"') for name, _, value in (p.partition("=") for p in parameters) if name == "charset"), "utf-8"
    )
    if essence not in {JSON, *YAML_TYPES} or charset not in CHARSETS:
        raise MediaTypeUnsupported(f"{_told(given)}; {_HELP}")
    return JSON if essence == JSON else YAML


def _told(given: str) -> str:
    return f"the content type is {given!r}" if given else "no content type is given"


async def _read_body(request: Request, limit: int) -> bytes:
    # Refused by its announcement where there is one; a chunked body is counted while it comes in. The connection
    # is kept: closing it with the rest unread resets it, and the client would never see why.
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:19]) > limit:
        raise BodyTooLarge(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(limit)
    return bytes(body)


# -- out ----------------------------------------------------------------------------------------------------


async def answer(request: Request, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A value as JSON, or as YAML when the client prefers that."""
    both = {"vary": "accept", **(headers or {})}
    if preferred(request.headers.get("accept"), (JSON, *sorted(YAML_TYPES))) in YAML_TYPES:
        return Response(await asyncio.to_thread(dump_yaml, value), status, both, YAML)
    return JSONResponse(value, status, both)


def preferred(accept: str | None, offers: Sequence[str]) -> str:
    """Which of ``offers`` an ``Accept`` header prefers (RFC 9110, section 12.5.1); among equals the first.

    When none is accepted, the first too: an answer in an unwanted form says more than a 406.
    """
    if not accept:
        return offers[0]
    ranges = [_range(part) for part in accept.split(",") if part.strip()]

    def quality(offer: str) -> float:
        # The most specific range that covers the offer says its quality.
        kind = offer.partition("/")[0]
        for pattern in (offer, f"{kind}/*", "*/*"):
            found = [q for name, q in ranges if name == pattern]
            if found:
                return max(found)
        return 0.0

    return max(offers, key=quality)


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
    try:
        return name, min(1.0, max(0.0, float(weight)))
    except ValueError:
        return name, 0.0


class _Dumper(yaml.SafeDumper):
    """Writes what :func:`hfi_core.policy.documents.parse_documents` reads back as the same values."""

    def ignore_aliases(self, data: Any) -> bool:
        """No anchors: they are refused on input."""
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        """A string. ``1e3`` is a number in YAML 1.2 and text in PyYAML's 1.1, which would leave it unquoted."""
        style = "'" if re.fullmatch(r"[-+.0-9eE]+", value) else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _Dumper.text)


def dump_yaml(value: Any) -> str:
    """JSON values as YAML, in the order that they have."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text
