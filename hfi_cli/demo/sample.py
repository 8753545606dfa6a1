"""A small shop: the service that stands behind Envoy in the demo. It counts what reaches it."""

from __future__ import annotations

from collections import Counter

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class SampleService:
    """Four paths. ``reached`` counts requests by path: what an abort kept away is not in it."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()
        self.app = Starlette(
            routes=[
                Route("/catalog", self._catalog),
                Route("/checkout", self._checkout, methods=["POST"]),
                Route("/payments", self._payments),
                Route("/healthz", self._health),
            ]
        )

    async def _catalog(self, request: Request) -> Response:
        self.reached[request.url.path] += 1
        return JSONResponse({"items": [{"id": 1, "name": "teapot"}, {"id": 2, "name": "kettle"}]})

    async def _checkout(self, request: Request) -> Response:
        self.reached[request.url.path] += 1
        return JSONResponse({"order": self.reached[request.url.path]})

    async def _payments(self, request: Request) -> Response:
        self.reached[request.url.path] += 1
        return JSONResponse({"paid": True})

    async def _health(self, request: Request) -> Response:
        self.reached[request.url.path] += 1
        return JSONResponse({"ok": True})
