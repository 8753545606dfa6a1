"""A real Envoy, started on what ``hfi-cli bootstrap`` prints: over mTLS, and with several replicas."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from hfi_cli.client import HfiClient
from hfi_cli.tls import ClientTls
from tests.integration.test_cli_serve import Served, serving
from tests.integration.test_tls import make, options
from tests.support.control_plane import CLI
from tests.support.envoy import Envoy, running_envoy
from tests.support.etcd import EtcdFactory
from tests.support.policies import abort_rule, policy
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.envoy

UPSTREAM = "127.0.0.1:9"  # Every rule here aborts, so nothing has to answer there.


def bootstrap(replicas: Sequence[Served], *more: str) -> str:
    """What the command prints for node ``n1`` of cluster ``c``."""
    addresses = [word for one in replicas for word in ("--http", one.http, "--xds", one.xds)]
    local = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", UPSTREAM)
    command = [*CLI, "bootstrap", "--node-id", "n1", "--cluster", "c", *local, *addresses, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def tls(place: Path, who: str) -> tuple[str, ...]:
    return (f"--ca={place / 'ca.pem'}", f"--cert={place / f'{who}.pem'}", f"--key={place / f'{who}-key.pem'}")


def client(served: Served, place: Path) -> HfiClient:
    files = ClientTls(place / "ca.pem", place / "client.pem", place / "client-key.pem")
    return HfiClient(f"https://{served.http}", tls=files)


async def answers(envoy: Envoy, status: int) -> None:
    listener = await envoy.listener("ingress")
    async with httpx.AsyncClient(trust_env=False, verify=False) as user:

        async def so() -> bool:
            return (await user.get(f"http://{listener}/")).status_code == status

        await eventually_async(so, within=60, what=f"the answer {status}")


async def test_module_and_rules_come_over_mtls(tmp_path: Path) -> None:
    """The module by ECDS, the rules by polls, the counters back; and each only because the certificate is n1's."""
    place = make(tmp_path / "certs", "n1")
    with serving(tmp_path, *options(place)) as served, client(served, place) as hfi:
        hfi.apply(policy("p", abort_rule(status=418)))
        async with running_envoy(bootstrap([served], *tls(place, "n1")), tmp_path / "envoy") as envoy:
            await answers(envoy, 418)
            await eventually(lambda: hfi.metrics()["faults_injected"] > 0, within=30, what="the report")
            (proxy,) = hfi.proxies()["items"]
            assert (proxy["node"], proxy["rules"]["upToDate"]) == ("n1", True)
            assert [resource["state"] for resource in proxy["xds"]["resources"]] == ["acked"]
            assert await envoy.stat("cluster.hfi_xds.ssl.handshake") >= 1
            assert await envoy.stat("cluster.hfi_http.ssl.handshake") >= 1


async def test_an_envoy_with_anothers_certificate_gets_nothing(tmp_path: Path) -> None:
    place = make(tmp_path / "certs", "n2")
    with serving(tmp_path, *options(place)) as served, client(served, place) as hfi:
        async with running_envoy(bootstrap([served], *tls(place, "n2")), tmp_path / "envoy") as envoy:

            async def refused() -> bool:
                return "is not in the client's certificate" in envoy.log()

            await eventually_async(refused, within=30, what="the refusal in Envoy's log")
            assert hfi.proxies()["items"] == []
            assert await envoy.extension_config("hfi") is None


async def test_an_envoy_believes_no_server_of_another_name(tmp_path: Path) -> None:
    place = make(tmp_path / "certs", "n1")
    with serving(tmp_path, *options(place)) as served, client(served, place) as hfi:
        text = bootstrap([served], *tls(place, "n1"), "--server-name", "other.test")
        async with running_envoy(text, tmp_path / "envoy") as envoy:

            async def failed() -> bool:
                return bool(await envoy.stat("cluster.hfi_xds.ssl.fail_verify_san"))

            await eventually_async(failed, within=30, what="the refusal of the server's name")
            assert hfi.proxies()["items"] == []
        async with running_envoy(
            bootstrap([served], *tls(place, "n1"), "--server-name", "localhost"), tmp_path / "again"
        ) as envoy:
            await eventually(lambda: hfi.proxies()["items"] != [], within=30, what="the proxy")


def test_the_command_line_over_mtls(tmp_path: Path) -> None:
    place = make(tmp_path / "certs")
    with serving(tmp_path, *options(place)) as served:
        server = ("--server", f"https://{served.http}")

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [*CLI, *arguments, "policy", "list"]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

        done = run(*server, *tls(place, "client"))
        assert (done.returncode, done.stderr) == (0, "There are no policies.\n"), done.stderr
        for arguments, code, told in (
            ((*server, f"--ca={place / 'ca.pem'}"), 3, "does it want a client certificate"),
            (server, 3, "CERTIFICATE_VERIFY_FAILED"),
            (("--server", f"http://{served.http}"), 3, "does it speak TLS"),
            (("--server", f"http://{served.http}", *tls(place, "client")), 2, "write https://HOST:PORT"),
            ((*server, f"--cert={place / 'client.pem'}"), 2, "belong together"),
            ((*server, f"--ca={place / 'client-key.pem'}"), 2, "holds no CA certificates"),
            (
                (*server, f"--cert={place / 'client.pem'}", f"--key={place / 'ca-key.pem'}"),
                2,
                "is not that of the certificate",
            ),
        ):
            refused = run(*arguments)
            assert refused.returncode == code, refused.stderr
            assert told in " ".join(refused.stderr.split())


async def test_an_envoy_goes_on_with_the_next_replica(tmp_path: Path, etcd_factory: EtcdFactory) -> None:
    """Whichever of two it is connected to is killed; nothing that it has is sent again, and changes arrive."""
    place, etcd = make(tmp_path / "certs", "n1"), etcd_factory()
    etcd.start()
    shared = (*options(place)[2:], "--store", "etcd", "--etcd", etcd.endpoint)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        serving(tmp_path / "a", *shared) as a,
        serving(tmp_path / "b", *shared) as b,
        client(a, place) as of_a,
        client(b, place) as of_b,
    ):
        of_a.apply(policy("p", abort_rule(status=418)))
        async with running_envoy(bootstrap([a, b], *tls(place, "n1")), tmp_path / "envoy") as envoy:
            await answers(envoy, 418)

            def streams(hfi: HfiClient) -> int:
                """Those with that replica itself: it knows of the others' as well."""
                known: Any = hfi.proxies()
                (me,) = (replica["id"] for replica in known["replicas"] if replica["self"])
                mine = [proxy["xds"] for proxy in known["items"] if proxy["xds"]["replica"] == me]
                return sum(xds["streams"] for xds in mine)

            await eventually(lambda: streams(of_a) + streams(of_b) == 1, what="the stream")
            gone, stays, left = (a, of_b, b) if streams(of_a) else (b, of_a, a)
            gone.process.kill()
            gone.process.wait()
            await eventually(lambda: streams(stays) == 1, what="the stream at the other replica")
            stays.apply(policy("p", abort_rule(status=503)))
            await answers(envoy, 503)
            async with httpx.AsyncClient(verify=client_context(place), trust_env=False) as http:
                text = (await http.get(f"https://{left.http}/v1/metrics", params={"format": "prometheus"})).text
            assert 'hfi_xds_pushes_total{type="ecds"}' not in text
            assert 'hfi_xds_acks_total{type="ecds"} 1.0' in text


def client_context(place: Path) -> object:
    return ClientTls(place / "ca.pem", place / "client.pem", place / "client-key.pem").context()
