"""A control plane as people run it: ``hfi-cli serve``, in a process of its own, and what one can ask it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Self

import httpx

from tests.support.processes import Processes, free_ports

#: ``hfi-cli``, by this Python.
CLI = (sys.executable, "-m", "hfi_cli.main")


class ControlPlane:
    """Serves on the same two ports of 127.0.0.1 each time it is started. ``options`` are those of ``serve``."""

    def __init__(self, processes: Processes, options: Sequence[str], name: str = "control-plane") -> None:
        self.http_port, self.xds_port = free_ports(2)
        addresses = ("--http", self.http, "--xds", self.xds)
        self.process = processes.add(name, [*CLI, "serve", *addresses, *options])

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def xds(self) -> str:
        return f"127.0.0.1:{self.xds_port}"

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def start(self) -> Self:
        """Start, and wait until it says that it is ready."""
        self.process.start().until(self.ready)
        return self

    def ready(self) -> bool:
        """Whether it says that it is."""
        try:
            # Not through a proxy that the environment may name; and it is not TLS, for which httpx would read every
            # authority there is, for 40 ms each time.
            ready = httpx.get(f"{self.url}/v1/health?ready", trust_env=False, verify=False, timeout=2.0)
            return ready.status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        return self.process.stop()

    def kill(self) -> None:
        self.process.kill()


class Api:
    """The REST API, asked plainly: a witness that shares no code with ``hfi-cli``."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=10.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ask(self, method: str, path: str, json: Any = None) -> httpx.Response:
        return await self._http.request(method, path, json=json)

    async def get(self, path: str) -> Any:
        """The JSON of an answer that must be 200."""
        return (await self.ask("GET", path)).raise_for_status().json()

    async def apply(self, document: Any) -> dict[str, Any]:
        """The policy as stored."""
        response = await self.ask("POST", "/v1/policies", document)
        assert response.status_code in (200, 201), response.text
        return response.json()

    async def delete(self, name: str) -> int:
        """The version from which on it is gone."""
        response = await self.ask("DELETE", f"/v1/policies/{name}")
        assert response.status_code == 200, response.text
        return int(response.json()["version"])

    async def names(self) -> list[str]:
        """The policies that there are."""
        return [item["metadata"]["name"] for item in (await self.get("/v1/policies"))["items"]]

    async def up_to_date(self, nodes: Sequence[str], version: int = 0) -> bool:
        """Whether these proxies run by what is served, and that is ``version`` or newer."""
        answer = await self.get("/v1/proxies")
        rules = {item["node"]: item["rules"]["upToDate"] for item in answer["items"]}
        return answer["version"] is not None and int(answer["version"]) >= version and all(map(rules.get, nodes))
