"""``hfi-cli serve`` as a process of its own: it says where it listens, ends in order, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hfi_cli.client import HfiClient
from hfi_cli.errors import Refused
from hfi_core.filters import rollout
from hfi_core.filters.manifest import Manifest
from tests.support.control_plane import CLI
from tests.support.etcd import Etcd, EtcdFactory, require_etcd
from tests.support.policies import policy
from tests.support.waiting import eventually

END_SECONDS = 30


@dataclass
class Served:
    """A running ``serve``, by what it printed. ``log`` is its standard error."""

    process: subprocess.Popen[str]
    http: str
    xds: str
    store: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(END_SECONDS)

    def told(self) -> str:
        return self.log.read_text()


@contextmanager
def serving(directory: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Served]:
    """``hfi-cli serve`` on ports of the system's choice; killed, at the latest, at the end of the block."""
    log = directory / "serve.log"
    command = [*CLI, "serve", "--http", "127.0.0.1:0", "--xds", "127.0.0.1:0", *options]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=directory, env={**os.environ, **(env or {})}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), f"{line!r}\n{log.read_text()}"
        said = dict(pair.split("=", 1) for pair in line.split()[1:])
        yield Served(process, said["http"], said["xds"], said["store"], log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture(params=["memory", "embedded"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    if request.param == "embedded":
        require_etcd()
    with serving(tmp_path, "--store", request.param) as running:
        yield running


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def test_what_it_says_is_where_it_listens(served: Served) -> None:
    assert served.store in ("memory", "embedded")
    with HfiClient(served.url) as client:
        assert client.health(ready=True)["ready"] is True
    with grpc.insecure_channel(served.xds) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_with_its_streams(served: Served, number: signal.Signals) -> None:
    pids = children(served.process.pid)
    assert bool(pids) is (served.store == "embedded")
    with (
        httpx.Client(base_url=served.url, trust_env=False, timeout=20) as http,
        http.stream("GET", "/v1/config/stream") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("id: ")
        served.process.send_signal(number)
        rest = list(lines)  # Ends with the stream: in order, and not by a connection that broke.
    assert any(line.startswith("data: ") for line in rest)
    assert served.process.wait(END_SECONDS) == 0
    assert "Traceback" not in served.told()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_was_applied_is_there_after_a_restart(tmp_path: Path) -> None:
    require_etcd()
    options = ("--store", "embedded", "--data-dir", str(tmp_path / "data"))
    with serving(tmp_path, *options) as first, HfiClient(first.url) as client:
        version = client.apply(policy("kept"))["policy"]["metadata"]["version"]
        assert first.end() == 0
    with serving(tmp_path, *options) as second, HfiClient(second.url) as client:
        assert client.get("kept")["metadata"]["version"] == version


def test_two_on_one_data_directory(tmp_path: Path) -> None:
    require_etcd()
    options = ("--store", "embedded", "--data-dir", str(tmp_path / "data"))
    with serving(tmp_path, *options):
        command = [*CLI, "serve", "--http", "127.0.0.1:0", "--xds", "127.0.0.1:0", *options]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert "in use by another HFI" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_etcd_that_cannot_keep_its_data_is_told_in_a_line_and_not_by_its_stack(tmp_path: Path) -> None:
    require_etcd()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "etcd").touch()  # Where its directory would be.
    command = [*CLI, "serve", "--http", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert " ".join(done.stderr.split()).startswith("error: etcd does not come up: failed to list data directory: ")
    assert "goroutine" not in done.stderr


def test_on_an_etcd_of_yours(tmp_path: Path, etcd_factory: EtcdFactory) -> None:
    member = etcd_factory()
    member.start()
    environment = {"HFI_STORE": "etcd", "HFI_ETCD": member.endpoint, "HFI_LOG_FORMAT": "json"}
    with serving(tmp_path, env=environment) as running, HfiClient(running.url) as client:
        assert running.store == "etcd"
        client.apply(policy("witnessed"))
        assert "/hfi/policies/witnessed" in member.ctl("get", "--prefix", "--keys-only", "/hfi/policies/")
        assert running.end() == 0
        for line in running.told().splitlines():
            json.loads(line)


async def test_a_replica_that_serves_no_filter_module_is_not_ready_and_says_why(tmp_path: Path, etcd: Etcd) -> None:
    def reasons(served: Served) -> list[str]:
        with HfiClient(served.url) as client:
            try:
                client.health(ready=True)
            except Refused as refused:
                return list(refused.members["reasons"])
        return []

    etcd.ctl("put", "/hfi/filter/rollout", "{")
    with serving(tmp_path, "--store", "etcd", "--etcd", etcd.endpoint) as served:
        [reason] = reasons(served)
        assert reason.startswith("filter: no module is served: what the store says of filters cannot be read: rollout")
        with grpc.insecure_channel(served.xds) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert "Traceback" not in served.told()
        shipped = Manifest.model_validate_json(etcd.ctl("get", "--prefix", "--print-value-only", "/hfi/filter/module/"))
        etcd.ctl("put", "/hfi/filter/rollout", rollout.first(shipped, 1).encode().decode())
        await eventually(lambda: reasons(served) == [], within=30, what="that it is ready")


@pytest.mark.parametrize("which", ["--http", "--xds"])
def test_an_address_that_is_taken_is_told_and_everything_stopped(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        addresses = {"--http": "127.0.0.1:0", "--xds": "127.0.0.1:0", which: f"127.0.0.1:{taken.getsockname()[1]}"}
        options = [word for pair in addresses.items() for word in pair]
        done = subprocess.run(
            [*CLI, "serve", "--store", "memory", *options], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot listen on {addresses[which]}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_is_missing_is_1(tmp_path: Path) -> None:
    env = {**os.environ, "HFI_MODULES_DIR": str(tmp_path)}
    command = [*CLI, "serve", "--http", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--store", "memory"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 1
    assert "hfi_filter.wasm cannot be read" in done.stderr
