"""Real etcds for tests, and etcdctl as a witness that shares no code with ours.

Fixtures: ``etcd`` is one fresh member, gone after the test; ``etcd_factory`` makes more, with TLS or flags;
``etcd_cluster`` is three. Each ends with its test, and with the test process should that be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hfi_core.errors import SettingsInvalid
from hfi_core.store import leash
from hfi_core.store.binary import find_binary
from hfi_core.store.embedded_etcd import environment, free_port
from hfi_core.store.settings import EtcdSettings

#: A member on a busy machine may be slow to elect itself.
READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: an authority, a member's certificate for 127.0.0.1, and a client's."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


@dataclass
class Etcd:
    """One member. ``start`` waits until it answers; ``stop`` keeps the data, so that it can start again."""

    directory: Path
    client_port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    name: str = "one"
    cluster: str = ""
    tls: Certificates | None = None
    flags: Sequence[str] = ()
    user: str | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.client_port}"

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def settings(self) -> EtcdSettings:
        """For a client with short times, so that tests of trouble are quick."""
        return EtcdSettings(
            endpoints=(self.endpoint,),
            attempt_seconds=1.0,
            request_seconds=3.0,
            heartbeat_seconds=0.3,
            hung_seconds=2.0,
        )

    def start(self, *, wait: bool = True) -> None:
        arguments = [
            str(find_binary("etcd")),
            f"--name={self.name}",
            f"--data-dir={self.directory / self.name}",
            f"--listen-client-urls={self.endpoint}",
            f"--advertise-client-urls={self.endpoint}",
            f"--listen-peer-urls={self.peer}",
            f"--initial-advertise-peer-urls={self.peer}",
            f"--initial-cluster={self.cluster or f'{self.name}={self.peer}'}",
            "--logger=zap",
            "--log-level=warn",
            "--unsafe-no-fsync",  # What a killed process has written stays; only a killed machine loses it.
            *self.flags,
        ]
        if not self.cluster:
            arguments += ["--election-timeout=100", "--heartbeat-interval=20"]
        if self.tls:
            arguments += [
                f"--trusted-ca-file={self.tls.ca}",
                f"--cert-file={self.tls.server_cert}",
                f"--key-file={self.tls.server_key}",
                "--client-cert-auth",
            ]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *arguments],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._listens() and time.monotonic() < deadline and self.running:
            time.sleep(0.01)  # etcdctl would take a second for a refused connection.
        while True:
            done = self._ctl("endpoint", "health", "--dial-timeout=1s", "--command-timeout=1s")
            if done.returncode == 0:
                return
            log = (self.directory / f"{self.name}.log").read_text(errors="replace")[-2000:]
            assert self.running, f"etcd ended:\n{log}"
            assert time.monotonic() < deadline, f"etcd does not answer: {done.stderr!r}\n{log}"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.client_port)) == 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for that. Its data stays."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)  # One that is frozen would not hear.
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def discard(self) -> None:
        """End it, and its data too: etcd sets 128 MB aside for each member, and hundreds of them fill a disk."""
        self.kill()
        shutil.rmtree(self.directory / self.name, ignore_errors=True)

    def restore(self, backup: Path) -> None:
        """Go back to what ``etcdctl snapshot save`` wrote, as the member of the same cluster, and start."""
        self.kill()
        shutil.rmtree(self.directory / self.name)
        self.ctl(
            *("snapshot", "restore", str(backup), f"--data-dir={self.directory / self.name}", f"--name={self.name}"),
            *(f"--initial-advertise-peer-urls={self.peer}", f"--initial-cluster={self.name}={self.peer}"),
        )
        self.start()

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, until ``thaw`` or ``stop``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ctl(self, *arguments: str, data: bytes | None = None) -> str:
        """What etcdctl answers; fails when it does."""
        done = self._ctl(*arguments, data=data)
        assert done.returncode == 0, f"etcdctl {' '.join(arguments)}: {done.stderr!r}"
        return done.stdout.decode()

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ctl(*arguments, "--write-out=json"))

    def _ctl(self, *arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [str(find_binary("etcdctl")), f"--endpoints={self.endpoint}", *arguments]
        if self.tls:
            command += [f"--cacert={self.tls.ca}", f"--cert={self.tls.client_cert}", f"--key={self.tls.client_key}"]
        if self.user and "--user" not in " ".join(arguments):
            command.append(f"--user={self.user}")
        env = {name: value for name, value in environment().items() if not name.startswith("ETCDCTL_")}
        return subprocess.run(command, capture_output=True, input=data, env=env, timeout=60, check=False)


def require_etcd() -> None:
    """Skip where there is no etcd; fail where everything is required."""
    try:
        find_binary("etcd")
        find_binary("etcdctl")
    except SettingsInvalid as error:
        if os.environ.get("HFI_REQUIRE_ALL") == "1":
            raise
        pytest.skip(str(error))


EtcdFactory = Callable[..., Etcd]


@pytest.fixture
def etcd_factory(tmp_path: Path) -> Iterator[EtcdFactory]:
    """Makes members that are not started yet; ends all of them after the test."""
    require_etcd()
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Etcd:
            directory = tmp_path / f"etcd-{free_port()}"
            directory.mkdir()
            member = Etcd(directory, **options)
            stack.callback(member.discard)
            return member

        yield make


@pytest.fixture
def etcd(etcd_factory: EtcdFactory) -> Etcd:
    member = etcd_factory()
    member.start()
    return member


@pytest.fixture
def etcd_cluster(etcd_factory: EtcdFactory) -> list[Etcd]:
    members = [etcd_factory(name=name) for name in ("one", "two", "three")]
    cluster = ",".join(f"{member.name}={member.peer}" for member in members)
    for member in members:
        member.cluster = cluster
        member.start(wait=False)
    for member in members:
        member.wait_ready()
    return members


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    import trustme

    ca = trustme.CA()
    server = ca.issue_cert("127.0.0.1", "localhost")
    client = ca.issue_cert("hfi", common_name="hfi")
    files = Certificates(
        *(tmp_path / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key"))
    )
    ca.cert_pem.write_to_path(str(files.ca))
    server.private_key_pem.write_to_path(str(files.server_key))
    server.cert_chain_pems[0].write_to_path(str(files.server_cert))
    client.private_key_pem.write_to_path(str(files.client_key))
    client.cert_chain_pems[0].write_to_path(str(files.client_cert))
    return files
