"""A real Envoy in front of the upstream, started with what ``hfi-cli bootstrap`` prints."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from typer.testing import CliRunner

from hfi_cli.main import app
from tests.support.control_plane import ControlPlane
from tests.support.envoy import envoy_binary
from tests.support.processes import Processes, free_ports

#: Two workers, and the main thread: three VMs, of which one talks to the control plane.
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values were at most a bound, by bound."""

    buckets: Mapping[float, int]

    @property
    def count(self) -> int:
        return self.buckets.get(math.inf, 0)

    def since(self, before: Histogram) -> Histogram:
        """What has come since then."""
        return Histogram({bound: count - before.buckets.get(bound, 0) for bound, count in self.buckets.items()})


class Sidecar:
    """One Envoy. ``port`` is where requests for the upstream go."""

    def __init__(
        self,
        processes: Processes,
        control: ControlPlane,
        upstream_port: int,
        *,
        node: str,
        cluster: str,
        labels: Mapping[str, str] | None = None,
        workers: int = WORKERS,
        access_log: Path | None = None,
    ) -> None:
        self.node = node
        self.workers = workers
        self.access_log = access_log
        self.port, self.admin_port = free_ports(2)
        bootstrap = processes.directory / f"{node}-{self.port}.yaml"  # Of stacks there are several.
        addresses = {
            "--listen": f"127.0.0.1:{self.port}",
            "--upstream": f"127.0.0.1:{upstream_port}",
            "--admin": f"127.0.0.1:{self.admin_port}",
            "--http": control.http,
            "--xds": control.xds,
        }
        options = [word for option in addresses.items() for word in option]
        options += [word for key, value in (labels or {}).items() for word in ("--label", f"{key}={value}")]
        options += ["--access-log", str(access_log)] if access_log else []
        _write_bootstrap(bootstrap, ["--node-id", node, "--cluster", cluster, *options])
        command = [str(envoy_binary()), "-c", str(bootstrap), "--concurrency", str(workers), "--use-dynamic-base-id"]
        command += ["--file-flush-interval-msec", "50"]  # Envoy's own would have an access log wait for 10 s.
        self.process = processes.add(node, [*command, "--log-level", "warning", "--component-log-level", "wasm:info"])

    def start(self) -> Self:
        """Start, and wait until it is live. The filter may still be on its way: requests pass until then."""
        self.process.start().until(self._live)
        return self

    def _live(self) -> bool:
        try:
            return self._admin("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        return self.process.stop()

    def stats(self, pattern: str) -> dict[str, int]:
        """The counters and gauges whose whole name matches."""
        answer = self._admin("/stats", filter=f"^(?:{pattern})$", format="json").raise_for_status().json()
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "name" in stat}

    def stat(self, name: str) -> int:
        """One of them; 0 while it does not exist."""
        return self.stats(re.escape(name)).get(name, 0)

    def histogram(self, name: str) -> Histogram:
        """One of the filter's histograms, since the start; empty while it does not exist."""
        text = self._admin("/stats", format="prometheus", filter=f"^wasmcustom[.]{re.escape(name)}$").text
        bucket = re.compile(rf'{name.replace(".", "_")}_bucket{{.*le="([^"]+)"}} ([0-9]+)')
        found = {float(bound): int(count) for bound, count in bucket.findall(text)}
        return Histogram(found)

    def inline_modules(self) -> list[bytes]:
        """The code of each Wasm filter that this Envoy got by ECDS, from its own dump of what it runs."""
        dump = self._admin("/config_dump", resource="ecds_filters").raise_for_status().json()
        # There are none yet in an Envoy that has just been started.
        filters = [config["ecds_filter"]["typed_config"] for config in dump.get("configs", [])]
        codes = [one["config"]["vm_config"]["code"] for one in filters if "config" in one]
        return [base64.b64decode(code["local"]["inline_bytes"]) for code in codes]

    def _admin(self, path: str, **params: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        # There is no TLS: httpx would read every authority there is, for 40 ms each time.
        return httpx.get(url, params=params, trust_env=False, verify=False, timeout=10.0)


def _write_bootstrap(path: Path, options: list[str]) -> None:
    # In this process: a start of Python for each proxy would be a second of processor time.
    made = CliRunner().invoke(app, ["bootstrap", *options])
    assert made.exit_code == 0, made.output
    path.write_text(made.stdout)
