"""``/v1/policies``: apply, read and delete policies."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hfi_core.errors import PolicyInvalid, Problem
from hfi_core.policies import Applied, PolicyService
from hfi_sse import params
from hfi_sse.conditions import apply_under, condition, delete_under, etag, unmodified
from hfi_sse.media import answer, read_document

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class PolicyRoutes:
    """The collection and its members."""

    def __init__(self, policies: PolicyService, max_body_bytes: int) -> None:
        self._policies = policies
        self._max_body = max_body_bytes

    async def post(self, request: Request) -> Response:
        """Create or update what the document names."""
        dry_run = _dry_run(request)
        document = await read_document(request, self._max_body)
        applied = await apply_under(self._policies, condition(request.headers), document, dry_run=dry_run)
        return await self._applied(request, applied, dry_run=dry_run)

    async def put(self, request: Request) -> Response:
        """The same for a document whose name must be that of the address."""
        dry_run = _dry_run(request)
        document = await read_document(request, self._max_body)
        _must_agree(document, request.path_params["name"])
        applied = await apply_under(self._policies, condition(request.headers), document, dry_run=dry_run)
        return await self._applied(request, applied, dry_run=dry_run)

    async def list(self, request: Request) -> Response:
        """A page of policies, by name."""
        query = params.only(request, ("label", "limit", "after"))
        limit = params.number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        page = self._policies.list(params.pairs(query, "label"), limit=limit, after=query.get("after", ""))
        items = [stored.document() for stored in page.policies]
        return await answer(request, {"items": items, "next": page.next_after, "version": str(page.version)})

    async def get(self, request: Request) -> Response:
        """One policy."""
        params.only(request, ())
        stored = self._policies.get(request.path_params["name"])
        tag = {"etag": etag(stored.version)}
        if unmodified(request.headers, stored.version):
            return Response(status_code=304, headers=tag)
        return await answer(request, stored.document(), 200, tag)

    async def delete(self, request: Request) -> Response:
        """Remove one, and say at which version it is gone."""
        dry_run = _dry_run(request)
        name = request.path_params["name"]
        version = await delete_under(self._policies, condition(request.headers), name, dry_run=dry_run)
        return await answer(request, {"name": name, "version": str(version)})

    async def _applied(self, request: Request, applied: Applied, *, dry_run: bool) -> Response:
        stored = applied.stored
        headers = {"location": f"/v1/policies/{stored.name}"}
        if stored.version:
            headers["etag"] = etag(stored.version)
        status = 201 if applied.created and not dry_run else 200
        return await answer(request, stored.document(), status, headers)


def _dry_run(request: Request) -> bool:
    return params.flag(params.only(request, ("dryRun",)), "dryRun")


def _must_agree(document: Any, name: str) -> None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    given = metadata.get("name") if isinstance(metadata, dict) else None
    if isinstance(given, str) and given != name:
        raise PolicyInvalid([Problem("/metadata/name", f"must be {name!r}, as in the address")])
