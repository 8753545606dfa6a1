"""``/v1/filters``: the catalogue of filter modules."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hfi_core.errors import ModuleNotFound
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.manifest import MAX_MODULE_BYTES, Manifest
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_sse import params
from hfi_sse.conditions import digests
from hfi_sse.media import answer, read_bytes

#: What a module comes in and goes out as; registered.
WASM = "application/wasm"


class FilterRoutes:
    """The catalogue and its members."""

    def __init__(self, catalogue: ModuleCatalogue, filters: Follower[FilterState]) -> None:
        self._catalogue = catalogue
        self._filters = filters

    async def list(self, request: Request) -> Response:
        """Every module, the newest push first."""
        params.only(request, ())
        state = self._filters.required()
        modules = sorted(state.modules.values(), key=lambda manifest: (-manifest.pushed_at_ms, manifest.version))
        items = [_json(manifest, state) for manifest in modules]
        return await answer(request, {"items": items, "next": None, "version": str(state.revision)})

    async def get(self, request: Request) -> Response:
        """One module's manifest; or, for who would rather have that, its bytes."""
        params.only(request, ())
        manifest = self._manifest(request)
        if request.headers.get("accept", "").strip().lower() == WASM:
            code = await self._catalogue.code(manifest)
            return Response(code, media_type=WASM, headers={"etag": _etag(manifest), "vary": "accept"})
        return await answer(request, _json(manifest, self._filters.required()), headers={"etag": _etag(manifest)})

    async def put(self, request: Request) -> Response:
        """Take a module in."""
        query = params.only(request, ("note",))
        code = await read_bytes(request, WASM, MAX_MODULE_BYTES)
        version = request.path_params["version"]
        pushed = await self._catalogue.push(version, code, query.get("note", ""))
        await self._filters.shown(lambda state: version in state.modules)
        headers = {"location": f"/v1/filters/{version}"}
        return await answer(
            request,
            _json(pushed.manifest, self._filters.current or FilterState(0)),
            201 if pushed.created else 200,
            headers,
        )

    async def delete(self, request: Request) -> Response:
        """Take a module out, and say what it was."""
        params.only(request, ())
        version = request.path_params["version"]
        manifest, revision = await self._catalogue.delete(version, digests=digests(request.headers))
        await self._filters.seen(revision)
        return await answer(request, _json(manifest, FilterState(revision)))

    def _manifest(self, request: Request) -> Manifest:
        version = request.path_params["version"]
        manifest = self._filters.required().modules.get(version)
        if manifest is None:
            raise ModuleNotFound(version)
        return manifest


def _etag(manifest: Manifest) -> str:
    return f'"{manifest.digest}"'


def _json(manifest: Manifest, state: FilterState) -> dict[str, Any]:
    return {
        "version": manifest.version,
        "digest": manifest.digest,
        "size": manifest.size,
        "abi": manifest.abi,
        "note": manifest.note,
        "pushedAtMs": manifest.pushed_at_ms,
        "role": state.role(manifest),
    }
