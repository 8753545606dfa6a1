"""``/v1/sidecars``: what whole Envoys are to be, a document for each cluster."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from hfi_core.sidecars.service import SidecarService
from hfi_sse import params
from hfi_sse.conditions import etag
from hfi_sse.media import answer, read_document


class SidecarRoutes:
    """The collection and its members."""

    def __init__(self, sidecars: SidecarService, max_body_bytes: int) -> None:
        self._sidecars = sidecars
        self._max_body = max_body_bytes

    async def post(self, request: Request) -> Response:
        """Create or update the document of a cluster."""
        dry_run = params.flag(params.only(request, ("dryRun",)), "dryRun")
        document = await read_document(request, self._max_body)
        applied = await self._sidecars.apply(document, dry_run=dry_run)
        stored = applied.stored
        headers = {"location": f"/v1/sidecars/{stored.document.name}"}
        if stored.version:
            headers["etag"] = etag(stored.version)
        return await answer(request, stored.as_json(), 201 if applied.created and not dry_run else 200, headers)

    async def list(self, request: Request) -> Response:
        """All of them, by name."""
        params.only(request, ())
        return await answer(request, {"items": [stored.as_json() for stored in self._sidecars.list()]})

    async def get(self, request: Request) -> Response:
        """One of them."""
        params.only(request, ())
        stored = self._sidecars.get(request.path_params["name"])
        return await answer(request, stored.as_json(), 200, {"etag": etag(stored.version)})

    async def delete(self, request: Request) -> Response:
        """Remove one, and say at which version it is gone."""
        params.only(request, ())
        name = request.path_params["name"]
        version = await self._sidecars.delete(name)
        return await answer(request, {"name": name, "version": str(version)})
