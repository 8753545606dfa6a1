"""An Envoy of somebody who calls the application and tries again when that fails. It knows nothing of HFI."""

from __future__ import annotations

import json
from typing import Any, Self

import httpx

from tests.support.envoy import envoy_binary
from tests.support.processes import Processes, free_ports

_TYPE = "type.googleapis.com/envoy.extensions"


class CallingEnvoy:
    """Sends every request to ``target`` and tries ``retries`` times more, in the protocol of its own caller."""

    def __init__(self, processes: Processes, target: int, *, retries: int) -> None:
        self.port, self._admin = free_ports(2)
        config = processes.directory / f"calling-{self.port}.json"
        config.write_text(json.dumps(_bootstrap(self.port, self._admin, target, retries)))
        command = [str(envoy_binary()), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id"]
        self.process = processes.add("calling-envoy", [*command, "--log-level", "warning"])

    def start(self) -> Self:
        self.process.start().until(self._ready)
        return self

    def _ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._admin}/ready"
            return httpx.get(url, trust_env=False, verify=False, timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        return self.process.stop()


def _bootstrap(port: int, admin: int, target: int, retries: int) -> dict[str, Any]:
    policy = {
        "retry_on": "5xx,reset,connect-failure,unavailable",
        "num_retries": retries,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
    }
    host = {
        "name": "target",
        "domains": ["*"],
        # So that a rule can tell one try from the next.
        "include_request_attempt_count": True,
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "target", "timeout": "0s", "retry_policy": policy}}],
    }
    router = {"name": "router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "calling",
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [router],
    }
    protocol = {"@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions"}
    same = {**protocol, "use_downstream_protocol_config": {"http2_protocol_options": {}}}
    endpoint = {"endpoint": {"address": _socket(target)}}
    cluster = {
        "name": "target",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "target", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": same},
        # Every retry is to be made, however many there are at once.
        "circuit_breakers": {"thresholds": [{"max_retries": 1000}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "calling", "address": _socket(port), "filter_chains": [{"filters": filters}]}
    return {
        "admin": {"address": _socket(admin)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _socket(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
