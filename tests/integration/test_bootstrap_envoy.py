"""What people copy: what is committed is what the program prints, and Envoy accepts it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from hfi_cli.bootstrap import ClientTls, Sidecar, minimal, sidecar, snippet
from hfi_cli.certs import directory
from hfi_cli.client import HfiClient
from hfi_core.address import Address
from tests.integration.test_cli_serve import serving
from tests.support.envoy import running_envoy, validate
from tests.support.policies import abort_rule, policy
from tests.support.waiting import eventually_async

CONFIGS = Path(__file__).parents[2] / "envoy-configs"
DOCUMENTED = Sidecar(
    node_id="checkout-1",
    cluster="checkout",
    listen=Address("127.0.0.1", 10000),
    upstream=Address("127.0.0.1", 9000),
    admin=Address("127.0.0.1", 9901),
    http=[Address("127.0.0.1", 8080)],
    xds=[Address("127.0.0.1", 18000)],
)
UNUSUAL = Sidecar(
    node_id="no",
    cluster="a b: #c",
    listen=Address("::1", 0),
    upstream=Address("app.internal", 9000),
    admin=Address("127.0.0.1", 0),
    http=[Address("cp-0.hfi", 8080), Address("cp-1.hfi", 8080)],
    xds=[Address("10.0.0.1", 18000), Address("10.0.0.2", 18000)],
    labels={"track": "canary", "example.com/zone": "1.0", "on": ""},
    access_log="/dev/null",
    bandwidth=False,
)


PRINTED = {
    "sidecar": sidecar(DOCUMENTED),
    "snippet": snippet(DOCUMENTED),
    "access-log": sidecar(replace(DOCUMENTED, access_log="-")),
    "minimal": minimal(replace(DOCUMENTED, admin=None)),
}


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_what_is_committed_is_what_is_printed(file: Path) -> None:
    assert file.read_text() == PRINTED[file.stem], f"run: hfi-cli bootstrap … > envoy-configs/{file.name}"


@pytest.mark.envoy
@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
async def test_envoy_accepts_what_is_committed(file: Path) -> None:
    code, told = await validate(file)
    assert code == 0, told


@pytest.mark.envoy
@pytest.mark.parametrize("text", [sidecar, snippet, minimal])
@pytest.mark.parametrize("tls", [False, True])
async def test_envoy_accepts_unusual_ones_too(tmp_path: Path, text: object, tls: bool) -> None:
    directory.make(tmp_path, ["localhost"], ["n1"], datetime.now(UTC), 1)
    files = ClientTls(*(str(tmp_path / name) for name in ("ca.pem", "n1.pem", "n1-key.pem")))
    file = tmp_path / "bootstrap.yaml"
    file.write_text(text(replace(UNUSUAL, tls=files) if tls else UNUSUAL))  # type: ignore[operator]
    code, told = await validate(file)
    assert code == 0, told


@pytest.mark.envoy
async def test_envoy_accepts_one_that_says_nothing_of_itself(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.yaml"
    file.write_text(minimal(replace(DOCUMENTED, listen=None, upstream=None, admin=None)))
    code, told = await validate(file)
    assert code == 0, told


ADMIN = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"


@pytest.mark.envoy
async def test_the_snippet_injects_by_a_stream_of_its_own(tmp_path: Path) -> None:
    """The sidecar does in every end-to-end test; the snippet's ECDS has no ADS to go by."""
    with serving(tmp_path, "--store", "memory") as plane, HfiClient(plane.url) as client:
        http, xds = Address.parse(plane.http), Address.parse(plane.xds)
        # The rule aborts everything, so no application is needed; any address will do.
        text = snippet(replace(DOCUMENTED, listen=Address("127.0.0.1", 0), http=[http], xds=[xds], upstream=http))
        client.apply(policy("p", abort_rule(status=418), selector={"cluster": "checkout"}))
        async with running_envoy(text + ADMIN, tmp_path / "envoy") as envoy, httpx.AsyncClient(trust_env=False) as user:
            listener = await envoy.listener("yours")

            async def aborted() -> bool:
                return (await user.get(f"http://{listener}/")).status_code == 418

            await eventually_async(aborted, within=60, what="the abort")

            async def reported() -> bool:
                return client.metrics()["faults_injected"] > 0

            await eventually_async(reported, within=30, what="the filter's report")
            (proxy,) = client.proxies()["items"]
            assert (proxy["node"], proxy["cluster"]) == ("checkout-1", "checkout")
            assert [resource["state"] for resource in proxy["xds"]["resources"]] == ["acked"]
