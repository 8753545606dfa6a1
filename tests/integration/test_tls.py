"""Who may connect: ``serve`` with TLS and client certificates, as grpcurl, httpx and streams of their own see it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio

from hfi_cli.certs import directory
from hfi_xds.resource_types import EXTENSION_CONFIG
from tests.integration.test_cli_serve import Served, serving
from tests.integration.xds_support import AGGREGATED, EXTENSIONS, ONE_LOOP, REPORTS, STATUS, delta, reports, sotw
from tests.support.grpcurl import grpcurl
from tests.support.policies import policy
from tests.support.waiting import eventually, eventually_async

pytestmark = ONE_LOOP

URI = "spiffe://example.org/ns/shop/sa/checkout"
URI_FILE = directory.file_name(URI)


def make(place: Path, *nodes: str) -> Path:
    directory.make(place, ["localhost", "127.0.0.1"], nodes, datetime.now(UTC), 30)
    return place


def options(place: Path, *more: str) -> tuple[str, ...]:
    files = (f"--tls-cert={place / 'server.pem'}", f"--tls-key={place / 'server-key.pem'}")
    return ("--store", "memory", *files, f"--client-ca={place / 'ca.pem'}", *more)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("certs"), "n1", "n2", URI)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("serve"), *options(certs)) as running:
        yield running


def as_grpcurl(place: Path, who: str | None) -> list[str]:
    mine = ["-cert", str(place / f"{who}.pem"), "-key", str(place / f"{who}-key.pem")] if who else []
    return ["-cacert", str(place / "ca.pem"), *mine]


def context(place: Path, who: str | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=place / "ca.pem")
    if who:
        made.load_cert_chain(place / f"{who}.pem", place / f"{who}-key.pem")
    return made


def client(served: Served, place: Path, who: str | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"https://{served.http}", verify=context(place, who), trust_env=False, timeout=20)


@asynccontextmanager
async def channel(served: Served, place: Path, who: str) -> AsyncIterator[aio.Channel]:
    credentials = grpc.ssl_channel_credentials(
        *((place / name).read_bytes() for name in ("ca.pem", f"{who}-key.pem", f"{who}.pem"))
    )
    local = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 1 << 26)]
    async with aio.secure_channel(served.xds, credentials, options=local) as made:
        yield made


def wants(node: str) -> dict[str, Any]:
    return {"node": {"id": node}, "type_url": EXTENSION_CONFIG, "resource_names_subscribe": ["hfi"]}


# -- the handshake --------------------------------------------------------------------------------------------


@pytest.mark.grpcurl
async def test_grpcurl_is_let_in_by_its_certificate_alone(mutual: Served, certs: Path) -> None:
    let_in = await grpcurl(mutual.xds, "list", how=as_grpcurl(certs, "client"))
    assert let_in.code == 0, let_in.err
    assert AGGREGATED in let_in.out
    for how in (as_grpcurl(certs, None), ["-plaintext"], ["-insecure"]):
        turned_away = await grpcurl(mutual.xds, "list", how=[*how, "-connect-timeout", "3"])
        assert turned_away.code != 0
        assert turned_away.out == ""


@pytest.mark.grpcurl
async def test_a_certificate_of_another_authority_is_nobodys(mutual: Served, certs: Path, tmp_path: Path) -> None:
    make(tmp_path, "n1")
    (tmp_path / "ca.pem").write_bytes((certs / "ca.pem").read_bytes())
    answer = await grpcurl(mutual.xds, "list", how=[*as_grpcurl(tmp_path, "n1"), "-connect-timeout", "3"])
    assert (answer.code != 0, answer.out) == (True, "")
    async with client(mutual, tmp_path, "n1") as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/v1/health")


async def test_http_needs_a_certificate_too(mutual: Served, certs: Path) -> None:
    async with client(mutual, certs, "client") as http:
        assert (await http.get("/v1/health")).status_code == 200
        expiry = (await http.get("/v1/metrics", params={"format": "prometheus"})).text
        assert "hfi_tls_expiry_timestamp_seconds " in expiry
    async with client(mutual, certs, None) as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/v1/health")
    async with httpx.AsyncClient(trust_env=False) as plain:
        with pytest.raises(httpx.TransportError):
            await plain.get(f"http://{mutual.http}/v1/health")


async def test_without_a_client_ca_it_is_tls_for_everybody(tmp_path: Path, certs: Path) -> None:
    with serving(tmp_path, *options(certs)[:-1]) as served:
        async with client(served, certs, None) as http:
            answer = await http.get("/v1/config/stream", params={"once": "true"}, headers={"x-hfi-node": "anybody"})
            assert answer.status_code == 200
        assert "without --client-ca, whoever reaches" in served.told()


async def test_who_is_turned_away_writes_nothing_into_the_log(tmp_path: Path, certs: Path) -> None:
    """gRPC would, in a form of its own, and with every look at whether the port is open."""
    with serving(tmp_path, *options(certs, "--log-format=json")) as served:
        for address in (served.http, served.xds):
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(
                host, int(port), ssl=context(certs, None), server_hostname=host
            )
            async with asyncio.timeout(20):
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.wait_closed()
        lines = [json.loads(line) for line in served.told().splitlines()]
        assert lines
        assert {line["level"] for line in lines} == {"info"}


# -- whose id it is -------------------------------------------------------------------------------------------

BY_GRPCURL = [
    (f"{AGGREGATED}/StreamAggregatedResources", {"type_url": EXTENSION_CONFIG, "resource_names": ["hfi"]}),
    (f"{AGGREGATED}/DeltaAggregatedResources", {"type_url": EXTENSION_CONFIG, "resource_names_subscribe": ["hfi"]}),
    (f"{EXTENSIONS}/StreamExtensionConfigs", {"resource_names": ["hfi"]}),
    (f"{EXTENSIONS}/DeltaExtensionConfigs", {"resource_names_subscribe": ["hfi"]}),
    ("envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters", {}),
    ("envoy.service.listener.v3.ListenerDiscoveryService/DeltaListeners", {}),
    (f"{STATUS}/FetchClientStatus", {}),
    (f"{STATUS}/StreamClientStatus", {}),
    (f"{REPORTS}/StreamMetrics", None),
]
PERMISSION_DENIED = 64 + grpc.StatusCode.PERMISSION_DENIED.value[0]


@pytest.mark.grpcurl
@pytest.mark.parametrize(("method", "request_"), BY_GRPCURL, ids=lambda value: str(value).rpartition("/")[2][:30])
@pytest.mark.parametrize(("who", "node"), [("n1", "n1"), (URI_FILE, URI), ("n1", "n2"), ("client", "n1")])
async def test_a_node_must_be_in_its_certificate(
    mutual: Served, certs: Path, method: str, request_: dict[str, Any] | None, who: str, node: str
) -> None:
    said = {"identifier": {"node": {"id": node}}} if request_ is None else {"node": {"id": node}, **request_}
    how = [*as_grpcurl(certs, who), "-max-msg-sz", str(1 << 26)]
    answer = await grpcurl(mutual.xds, method, data=said, how=how)
    if who in ("n1", URI_FILE) and node in ("n1", URI):
        assert answer.code == 0, answer.err
    else:
        assert answer.code == PERMISSION_DENIED, answer.err
        assert f"node '{node}' is not in the client's certificate" in answer.err
        assert answer.out == ""


async def test_who_is_refused_is_counted_and_leaves_nothing(mutual: Served, certs: Path) -> None:
    async with channel(mutual, certs, "n1") as made, client(mutual, certs, "client") as http:

        async def denied() -> float:
            text = (await http.get("/v1/metrics", params={"format": "prometheus"})).text
            lines = [line for line in text.splitlines() if 'reason="denied"' in line and "_total" in line]
            return float(lines[0].split()[-1]) if lines else 0.0

        before = await denied()
        for peer in (delta(made), sotw(made)):
            await peer.send(node={"id": "stranger"}, type_url=EXTENSION_CONFIG)
            code, _ = await peer.end()
            assert code is grpc.StatusCode.PERMISSION_DENIED
        sink = reports(made)
        await sink.send(identifier={"node": {"id": "stranger"}})
        assert (await sink.end())[0] is grpc.StatusCode.PERMISSION_DENIED
        assert await denied() == before + 3
        assert (await http.get("/v1/proxies/stranger")).status_code == 404


@pytest.mark.parametrize("once", ["true", "false"])
@pytest.mark.parametrize("by", ["header", "parameter"])
async def test_a_poll_is_held_to_its_certificate(mutual: Served, certs: Path, once: str, by: str) -> None:
    async def ask(http: httpx.AsyncClient, node: str) -> int:
        params, headers = {"once": once}, {}
        if by == "header":
            headers["x-hfi-node"] = node
        else:
            params["node"] = node
        async with http.stream("GET", "/v1/config/stream", params=params, headers=headers) as answer:
            if answer.status_code == 403:
                problem = await answer.aread()
                assert b"urn:hfi:problem:node-denied" in problem
            return answer.status_code

    async with client(mutual, certs, "n1") as http:
        assert await ask(http, "n1") == 200
        assert await ask(http, "n2") == 403
        # Who is no node asks for nothing in a node's name.
        assert (await http.get("/v1/config/stream", params={"once": "true"})).status_code == 200
    async with client(mutual, certs, URI_FILE) as http:
        assert await ask(http, URI) == 200


async def test_a_pattern_says_which_nodes_a_certificate_is(tmp_path: Path, certs: Path) -> None:
    pattern = "--node-pattern=spiffe://example.org/ns/{ns}/sa/{sa} -> {sa}/*"
    with serving(tmp_path, *options(certs, pattern)) as served:
        async with channel(served, certs, URI_FILE) as made:
            for node, code in (("checkout/1", None), ("cart/1", grpc.StatusCode.PERMISSION_DENIED)):
                peer = delta(made)
                await peer.send(**wants(node))
                if code is None:
                    assert (await peer.receive()).resources[0].name == "hfi"
                    peer.call.cancel()
                else:
                    assert (await peer.end())[0] is code
        async with channel(served, certs, "n1") as made:
            peer = delta(made)
            await peer.send(**wants("n1"))
            assert (await peer.end())[0] is grpc.StatusCode.PERMISSION_DENIED


# -- new files ------------------------------------------------------------------------------------------------


def serial(http: str) -> str:
    """Which certificate the server shows to whom it does not let in."""
    host, _, port = http.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


async def test_new_certificates_are_for_new_connections_and_the_old_go_on(tmp_path: Path) -> None:
    """A whole new authority, in the middle of streams."""
    old, new = make(tmp_path / "now", "n1"), make(tmp_path / "new", "n1")
    kept = tmp_path / "kept"
    kept.mkdir()
    for file in old.iterdir():
        (kept / file.name).write_bytes(file.read_bytes())
    with serving(tmp_path, *options(old)) as served:
        async with (
            channel(served, kept, "n1") as made,
            client(served, kept, "n1") as http,
            client(served, kept, "client") as idle,
        ):
            assert "connection" not in (await idle.get("/v1/health")).headers
            peer = delta(made)
            await peer.send(**wants("n1"))
            first = await peer.receive()
            async with http.stream("GET", "/v1/config/stream", headers={"x-hfi-node": "n1"}) as stream:
                events = stream.aiter_lines()
                assert (await anext(events)).startswith("id: ")

                for name in ("server-key.pem", "server.pem", "ca.pem"):
                    (old / name).write_bytes((new / name).read_bytes())

                async def let_in() -> bool:
                    try:
                        async with client(served, new, "client") as fresh:
                            return (await fresh.get("/v1/health")).status_code == 200
                    except httpx.TransportError:
                        return False

                await eventually_async(let_in, within=30, what="the new certificate")
                async with channel(served, new, "n1") as other:
                    again = delta(other)
                    await again.send(**wants("n1"))
                    assert (await again.receive()).resources[0].version == first.resources[0].version
                    again.call.cancel()
                async with client(served, kept, "client") as stale:
                    with pytest.raises(httpx.TransportError):
                        await stale.get("/v1/health")

                # A connection that is kept alive is answered, and then let go.
                assert (await idle.get("/v1/health")).headers["connection"] == "close"
                with pytest.raises(httpx.TransportError):
                    await idle.get("/v1/health")

                # The streams from before are as they were.
                await peer.send(type_url=EXTENSION_CONFIG, resource_names_subscribe=["hfi"])
                assert (await peer.receive()).resources[0].name == "hfi"
                async with client(served, new, "client") as fresh:
                    assert (await fresh.post("/v1/policies", json=policy("p"))).status_code == 201

                async def told() -> bool:
                    return '"p"' in await anext(events)

                async with asyncio.timeout(30):
                    while not await told():
                        pass
            peer.call.cancel()
        assert "new connections get the new certificate" in served.told()


async def test_a_broken_file_keeps_the_old_one_and_is_told(tmp_path: Path) -> None:
    place = make(tmp_path / "certs", "n1")
    with serving(tmp_path, *options(place)) as served:
        before = serial(served.http)
        (place / "server.pem").write_bytes(b"broken")
        await eventually(lambda: "the old ones go on" in served.told(), within=30, what="the complaint")
        async with client(served, place, "client") as http:
            assert (await http.get("/v1/health")).status_code == 200
            metrics = (await http.get("/v1/metrics", params={"format": "prometheus"})).text
            assert 'hfi_tls_reloads_total{result="refused"} 1.0' in metrics
        async with channel(served, place, "client") as made:
            assert await made.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        assert serial(served.http) == before
        directory.make(place, ["localhost", "127.0.0.1"], [], datetime.now(UTC), 30)
        await eventually(lambda: serial(served.http) != before, within=30, what="the new certificate")
