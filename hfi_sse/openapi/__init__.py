"""``/v1/openapi.json``: the API, described. A test holds it and the routes to each other."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hfi_sse import params
from hfi_sse.openapi.parts import Json
from hfi_sse.openapi.paths import paths
from hfi_sse.openapi.schemas import schemas


class OpenApiRoute:
    """The description, built once an application."""

    def __init__(self, version: str) -> None:
        self._document = document(version)

    async def get(self, request: Request) -> Response:
        """OpenAPI 3.1."""
        params.only(request, ())
        return JSONResponse(self._document)


def document(version: str) -> Json:
    """The OpenAPI document of this version."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "HFI",
            "version": version,
            "summary": "HTTP fault injection for services behind Envoy",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths(),
        "components": {"schemas": schemas()},
    }
