"""A sidecar document on its way: applied at one replica, by etcd to another, and by that one to an Envoy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.integration.test_cli_policies import hfi
from tests.integration.test_cli_serve import Served
from tests.integration.test_replicas import Replica, replicas
from tests.support.envoy import Envoy, running_envoy
from tests.support.etcd import Etcd
from tests.support.processes import free_ports
from tests.support.traffic import once
from tests.support.upstream import Upstream
from tests.support.waiting import eventually, eventually_async
from tests.unit.sidecars.test_document import sidecar

pytestmark = [pytest.mark.etcd, pytest.mark.envoy]


def minimal(plane: Served, *options: str) -> str:
    """The bootstrap of an Envoy of that replica alone."""
    who = ("--node-id", "shop-1", "--cluster", "shop", "--admin", "127.0.0.1:0")
    made = hfi(plane, "bootstrap", "--minimal", *who, "--http", plane.http, "--xds", plane.xds, *options)
    assert made.returncode == 0, made.stderr
    return made.stdout


def apply(plane: Served, **spec: object) -> None:
    """Put the document of the cluster there, with this and nothing else in it."""
    document = yaml.safe_dump({**sidecar("shop"), "spec": spec})
    done = hfi(plane, "sidecar", "apply", "-f", "-", given=document)
    assert done.returncode == 0, done.stderr


async def listeners(envoy: Envoy) -> int:
    found = (await envoy.admin.get("/listeners", params={"format": "json"})).json()
    return len(found.get("listener_statuses", []))


async def no_listener(envoy: Envoy) -> None:
    async def so() -> bool:
        return await listeners(envoy) == 0

    await eventually_async(so, within=30, what="the end of the listener")


async def reached(port: int, upstream: Upstream) -> None:
    """Wait until requests to that port come to that application."""

    async def so() -> bool:
        try:
            return (await once(port, "/x")).status == 200 and bool(upstream.seen("/x"))
        except ConnectionError:
            return False

    await eventually_async(so, within=60, what=f"{upstream.port} behind {port}")


def words_of(replica: Replica, text: str) -> Callable[[], list[str]]:
    """The lines of its log with this in them."""
    return lambda: [line for line in replica.served.told().splitlines() if text in line]


async def test_a_document_of_one_replica_is_served_by_another_beside_what_the_node_says(
    tmp_path: Path, etcd: Etcd
) -> None:
    [port] = free_ports(1)
    with replicas(tmp_path, *[etcd.endpoint] * 2) as (one, two), Upstream() as first, Upstream() as second:
        text = minimal(two.served, "--listen", f"127.0.0.1:{port}")
        async with running_envoy(text, tmp_path / "envoy") as envoy:
            # It says where, and nobody says for whom: no listener, and the replica that it is connected to says why.
            missing = words_of(two, "'shop-1' gets no listener")
            [line] = await eventually(missing, within=30, what="words about what is missing")
            assert "says upstream" in line
            assert await listeners(envoy) == 0
            apply(one.served, upstream=f"127.0.0.1:{first.port}")
            await reached(port, first)
            stored = json.loads(etcd.ctl("get", "--print-value-only", "/hfi/sidecars/shop"))
            assert stored["spec"] == {"upstream": [f"127.0.0.1:{first.port}"]}
            for replica in (one, two):
                assert hfi(replica.served, "sidecar", "list").stdout.splitlines()[1].split()[:3] == [
                    "shop",
                    "-",
                    f"127.0.0.1:{first.port}",
                ]
            apply(one.served, upstream=f"127.0.0.1:{second.port}")
            await reached(port, second)
            assert hfi(one.served, "sidecar", "delete", "shop").returncode == 0
            await no_listener(envoy)
            await eventually(lambda: len(missing()) == 2, within=30, what="words about what is missing again")
        assert words_of(one, "gets no listener")() == [], "no node of that replica's misses anything"


async def test_the_node_says_for_whom_and_the_document_where(tmp_path: Path, etcd: Etcd) -> None:
    [port] = free_ports(1)
    with replicas(tmp_path, *[etcd.endpoint] * 2) as (one, two), Upstream() as application:
        apply(one.served, listen=f"127.0.0.1:{port}")
        text = minimal(two.served, "--upstream", f"127.0.0.1:{application.port}")
        async with running_envoy(text, tmp_path / "envoy"):
            await reached(port, application)
        # Another one of that cluster, which leaves to the document what that does not say either.
        text = minimal(two.served)
        async with running_envoy(text, tmp_path / "other") as envoy:
            [line] = await eventually(words_of(two, "'shop-1' gets no listener"), within=30, what="what is missing")
            assert "says upstream" in line
            assert await listeners(envoy) == 0
