"""Errors as RFC 9457 problem details: the one table from error class to status, and the handlers that use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from hfi_core import errors as core
from hfi_sse import errors as api

MEDIA_TYPE = "application/problem+json"
#: ``type`` members are names and not addresses: nothing has to be served for them to stay true.
TYPE_PREFIX = "urn:hfi:problem:"
#: What a client that meets a passing trouble should wait. Short: stores come back within seconds.
RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem, as its ``type``, ``title`` and ``status`` say it."""

    status: int
    slug: str
    title: str


TABLE: Mapping[type[Exception], Kind] = {
    core.PolicyInvalid: Kind(422, "policy-invalid", "The policy is not valid"),
    core.DocumentUnreadable: Kind(400, "document-unreadable", "The document cannot be read"),
    core.PolicyNotFound: Kind(404, "policy-not-found", "There is no such policy"),
    core.VersionConflict: Kind(409, "version-conflict", "The document has another version"),
    core.PolicyConflict: Kind(409, "version-conflict", "The policy has another version"),
    core.SidecarInvalid: Kind(422, "sidecar-invalid", "The sidecar document is not valid"),
    core.SidecarNotFound: Kind(404, "sidecar-not-found", "There is no such sidecar document"),
    core.SidecarConflict: Kind(409, "version-conflict", "The sidecar document has another version"),
    core.ModuleRefused: Kind(422, "module-refused", "The filter module cannot be added"),
    core.ModuleNotFound: Kind(404, "module-not-found", "There is no such filter module"),
    core.ModuleConflict: Kind(409, "module-conflict", "The filter module conflicts with the catalogue"),
    core.ModuleInUse: Kind(409, "module-in-use", "Proxies run that filter module"),
    core.RolloutConflict: Kind(409, "rollout-conflict", "The rollout cannot do that now"),
    core.NodeDenied: Kind(403, "node-denied", "The certificate does not name that node"),
    core.StoreUnavailable: Kind(503, "store-unavailable", "The store cannot be reached"),
    core.StoreDenied: Kind(502, "store-denied", "The store refused the control plane"),
    core.StoreError: Kind(502, "store-error", "The store failed"),
    core.ModuleUnavailable: Kind(500, "engine-unavailable", "A WebAssembly module cannot be used"),
    core.RequestError: Kind(400, "request-invalid", "The request is not valid"),
    core.HfiError: Kind(500, "internal", "The control plane failed"),
    api.ParameterInvalid: Kind(400, "parameter-invalid", "A parameter is not valid"),
    api.BodyInvalid: Kind(422, "body-invalid", "The body is not valid"),
    api.BodyTooLarge: Kind(413, "body-too-large", "The body is too large"),
    api.MediaTypeUnsupported: Kind(415, "media-type-unsupported", "The media type of the body is not supported"),
    api.PreconditionFailed: Kind(409, "version-conflict", "The policy has another version"),
    api.ProxyNotFound: Kind(404, "proxy-not-found", "There is no such proxy"),
    api.TooManyReaders: Kind(429, "too-many-readers", "The node has too many requests for the stream"),
    api.NotReady: Kind(503, "not-ready", "The control plane is not ready"),
}
INTERNAL = TABLE[core.HfiError]


def kind_of(error: Exception) -> Kind:
    """The row of the table for an error: of its class, or of the nearest ancestor that has one."""
    return next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), INTERNAL)


def details(error: Exception) -> dict[str, Any]:
    """The members of the problem beyond ``type``, ``title`` and ``status``."""
    match error:
        case (
            core.PolicyInvalid(problems=problems)
            | core.SidecarInvalid(problems=problems)
            | api.BodyInvalid(problems=problems)
        ):
            count = len(problems)
            return {
                "detail": f"{count} problem{'' if count == 1 else 's'}: {error}",
                "errors": [{"pointer": problem.pointer, "detail": problem.detail} for problem in problems],
            }
        case core.DocumentUnreadable(line=int(line), column=column):
            return {"detail": str(error), "line": line, "column": column}
        case core.VersionConflict(expected=expected, actual=actual):
            return {"detail": str(error), "expected": str(expected), "actual": str(actual)}
        case api.NotReady(reasons=reasons) | core.ModuleRefused(reasons=reasons):
            return {"detail": str(error), "reasons": list(reasons)}
        case _:
            return {"detail": str(error)}


def respond(kind: Kind, members: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A problem response."""
    body = {"type": TYPE_PREFIX + kind.slug, "title": kind.title, "status": kind.status, **members}
    return JSONResponse(body, kind.status, {"cache-control": "no-store", **(headers or {})}, MEDIA_TYPE)


def problem(error: core.HfiError) -> Response:
    """The response for one of HFI's own errors."""
    kind = kind_of(error)
    headers = {}
    if kind.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    return respond(kind, details(error), headers)


async def _hfi_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, core.HfiError)
    return problem(error)


async def _http_exception(_request: Request, error: Exception) -> Response:
    """What starlette itself refuses: no such route, or not with that method (RFC 9457, section 4.2.1)."""
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    body = {"type": "about:blank", "title": phrase, "status": error.status_code, "detail": error.detail}
    return JSONResponse(body, error.status_code, dict(error.headers or {}), MEDIA_TYPE)


async def _unexpected(_request: Request, _error: Exception) -> Response:
    """A mistake of ours. The server logs it with its traceback; the client learns nothing of our insides."""
    return respond(INTERNAL, {"detail": "an unexpected error; the control plane's log says more"})


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # Nobody is there to read it.


def handlers() -> dict[Any, ExceptionHandler]:
    """What starlette is to do with each kind of exception."""
    return {
        core.HfiError: _hfi_error,
        HTTPException: _http_exception,
        ClientDisconnect: _client_gone,
        Exception: _unexpected,
    }
