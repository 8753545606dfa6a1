"""A whole Envoy from nothing but ``hfi-cli``: a document, a minimal bootstrap, and what becomes of a request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hfi_cli.client import HfiClient
from tests.integration.test_cli_policies import hfi
from tests.integration.test_cli_serve import Served, serving
from tests.support.envoy import running_envoy
from tests.support.policies import abort_rule, policy
from tests.support.processes import free_ports
from tests.support.traffic import once
from tests.support.upstream import Upstream
from tests.support.waiting import eventually_async
from tests.unit.sidecars.test_document import sidecar


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("plane"), "--store", "memory") as running:
        yield running


def test_the_life_of_a_document(plane: Served) -> None:
    assert hfi(plane, "sidecar", "list").stderr == "No cluster has a sidecar document.\n"
    document = yaml.safe_dump(sidecar("life", accessLog="-"))
    dry = hfi(plane, "sidecar", "apply", "-f", "-", "--dry-run", given=document)
    assert (dry.returncode, dry.stdout) == (0, "sidecar life would be applied (dry run)\n"), dry.stderr
    applied = hfi(plane, "sidecar", "apply", "-f", "-", given=document)
    assert applied.stdout.startswith("sidecar life applied (version "), applied.stderr
    listed = hfi(plane, "sidecar", "list").stdout.splitlines()
    assert listed[1].split()[:3] == ["life", "127.0.0.1:10000", "127.0.0.1:9000"]
    got = hfi(plane, "sidecar", "get", "life")
    assert yaml.safe_load(got.stdout)["spec"]["accessLog"] == "-"
    # What is printed can be applied.
    assert hfi(plane, "sidecar", "apply", "-f", "-", given=got.stdout).returncode == 0
    assert hfi(plane, "sidecar", "list", "-o", "json").stdout.startswith("[")
    half = yaml.safe_dump({**sidecar("life"), "spec": {"listen": "127.0.0.1:10000"}})
    assert hfi(plane, "sidecar", "apply", "-f", "-", given=half).returncode == 0
    assert hfi(plane, "sidecar", "list").stdout.splitlines()[1].split()[:3] == ["life", "127.0.0.1:10000", "-"]
    assert hfi(plane, "sidecar", "delete", "life").stdout.startswith("sidecar life deleted (version ")
    missing = hfi(plane, "sidecar", "get", "life")
    assert (missing.returncode, "no sidecar document" in missing.stderr) == (1, True)


def test_of_several_documents_a_bad_one_means_that_none_is_written(plane: Served) -> None:
    text = yaml.safe_dump_all([sidecar("good"), sidecar("bad", listen="localhost:1")])
    refused = hfi(plane, "sidecar", "apply", "-f", "-", given=text)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "/spec/listen" in refused.stderr
    with HfiClient(plane.url) as client:
        assert [one["metadata"]["name"] for one in client.sidecars()] == []


@pytest.mark.envoy
async def test_an_envoy_gets_all_of_its_configuration_and_its_faults(plane: Served, tmp_path: Path) -> None:
    [port] = free_ports(1)
    options = ("--node-id", "shop-1", "--cluster", "shop", "--admin", "127.0.0.1:0")
    made = hfi(plane, "bootstrap", "--minimal", *options, "--http", plane.http, "--xds", plane.xds)
    assert made.returncode == 0, made.stderr
    with Upstream() as one, Upstream() as two, HfiClient(plane.url) as client:
        client.apply_sidecar(sidecar("shop", listen=f"127.0.0.1:{port}", upstream=f"127.0.0.1:{one.port}"))
        async with running_envoy(made.stdout, tmp_path):

            async def answers(status: int) -> bool:
                try:
                    return (await once(port, "/x")).status == status
                except ConnectionError:
                    return False

            await eventually_async(lambda: answers(200), within=30, what="the application")
            client.apply(policy("p", abort_rule(status=418), selector={"cluster": "shop"}))
            await eventually_async(lambda: answers(418), within=60, what="the fault")
            client.delete("p")
            await eventually_async(lambda: answers(200), within=30, what="the end of the fault")
            client.apply_sidecar(sidecar("shop", listen=f"127.0.0.1:{port}", upstream=f"127.0.0.1:{two.port}"))

            async def moved() -> bool:
                return await answers(200) and bool(two.seen("/x"))

            await eventually_async(moved, within=30, what="traffic to where the application is now")
