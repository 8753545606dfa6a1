from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from hfi_cli import client as client_module
from hfi_cli.client import HfiClient
from hfi_cli.main import app
from hfi_cli.tls import ClientTls

Handler = Callable[[httpx.Request], httpx.Response]
PROBLEM = {"content-type": "application/problem+json"}


class FakePlane:
    """A control plane behind httpx.MockTransport: answers by method and path, in turn, and remembers what was asked.

    The last answer of a route is given again and again.
    """

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._routes: dict[tuple[str, str], list[Handler]] = {}

    def on(self, method: str, path: str, *answers: httpx.Response | Handler | Exception) -> None:
        self._routes[(method, path)] = [_handler(answer) for answer in answers]

    def asked(self, method: str, path: str) -> list[httpx.Request]:
        return [request for request in self.requests if (request.method, request.url.path) == (method, path)]

    def documents(self, method: str, path: str, **params: str) -> list[Any]:
        """The bodies of the requests with exactly these query parameters."""
        return [json.loads(r.content) for r in self.asked(method, path) if dict(r.url.params) == params]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._routes[(request.method, request.url.path)]
        return (answers.pop(0) if len(answers) > 1 else answers[0])(request)


def _handler(answer: httpx.Response | Handler | Exception) -> Handler:
    if isinstance(answer, httpx.Response):
        kept = answer
        # Anew each time: a response can be read once.
        return lambda request: httpx.Response(kept.status_code, headers=kept.headers, content=kept.content)
    if isinstance(answer, Exception):
        error = answer

        def fail(request: httpx.Request) -> httpx.Response:
            raise error

        return fail
    return answer


def refusal(status: int, kind: str, title: str, detail: str = "", **members: Any) -> httpx.Response:
    body = {"type": f"urn:hfi:problem:{kind}", "title": title, "status": status, "detail": detail, **members}
    return httpx.Response(status, json=body, headers=PROBLEM)


def stored(name: str, version: int = 7, **spec: Any) -> dict[str, Any]:
    rule = {"name": "r", "match": {"path": {"prefix": "/a"}}, "fault": {"percentage": 25, "abort": {"httpStatus": 503}}}
    return {
        "apiVersion": "v1",
        "kind": "FaultInjectionPolicy",
        "metadata": {"name": name, "version": str(version)},
        "spec": {"rules": [rule], **spec},
        "status": {"appliedAtMs": 1_764_000_000_000},
    }


def proxy(node: str, version: int | None, cluster: str = "c", **changed: Any) -> dict[str, Any]:
    rules = {
        "version": None if version is None else str(version),
        "epoch": None if version is None else "e",
        "upToDate": True,
        "ageMs": 1500,
        "polling": True,
    }
    return {
        "node": node,
        "cluster": cluster,
        "labels": {},
        "connected": True,
        "firstSeenMs": 1,
        "lastSeenMs": 2,
        "userAgent": "envoy",
        "xds": {"streams": 1, "resources": []},
        "rules": rules,
        **changed,
    }


def proxies(*items: dict[str, Any], version: int = 7, after: str | None = None) -> httpx.Response:
    connected = sum(item["connected"] for item in items)
    body = {"items": list(items), "next": after, "version": str(version), "epoch": "e"}
    return httpx.Response(200, json={**body, "connected": connected, "connectedUpToDate": connected})


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
def client(plane: FakePlane) -> Iterator[HfiClient]:
    with HfiClient("http://hfi.test", transport=httpx.MockTransport(plane)) as made:
        yield made


Run = Callable[..., Result]


@pytest.fixture
def run(plane: FakePlane, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs hfi-cli in this process, against the fake control plane."""

    class Client(HfiClient):
        def __init__(self, server: str, *, timeout: float = 30.0, tls: ClientTls | None = None) -> None:
            super().__init__(server, timeout=timeout, transport=httpx.MockTransport(plane), tls=tls)

    monkeypatch.setattr(client_module, "HfiClient", Client)
    for name in ("HFI_SERVER", "HFI_CA", "HFI_CERT", "HFI_KEY"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str, stdin: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, args, input=stdin, env=env, catch_exceptions=False)

    return run
