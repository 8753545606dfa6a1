"""The filters around HFI's, on a real Envoy: whom they obey, and what is logged.

HFI's own place in the chain is taken by native filters that do what it does: set a header, set filter state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hfi_cli.bootstrap import Sidecar, sidecar
from hfi_core.address import Address
from tests.support.envoy import running_envoy
from tests.support.traffic import Answer, Headers, once
from tests.support.upstream import Upstream
from tests.support.waiting import eventually

pytestmark = pytest.mark.envoy

STEERING = (
    ("x-envoy-fault-abort-request", "503"),
    ("x-envoy-fault-abort-grpc-request", "14"),
    ("x-envoy-fault-abort-request-percentage", "100"),
    ("x-envoy-fault-delay-request", "3000"),
    ("x-envoy-fault-delay-request-percentage", "100"),
    ("x-envoy-fault-throughput-response", "1"),
    ("X-Envoy-Fault-Throughput-Response", "1"),
    ("x-envoy-fault-throughput-response-percentage", "100"),
)
#: The upstream's answer holds the target of the request: some 8 KiB here.
LONG = "/" + "x" * 8_000
KBPS = 8
LIMITED = "http.ingress.fault.response_rl_injected"
ACTIVE = "http.ingress.fault.active_faults"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as running:
        yield running


def configured(upstream: Upstream, *instead_of_hfi: dict[str, Any], access_log: str | None = None) -> dict[str, Any]:
    """What ``hfi-cli bootstrap`` writes, with other filters in place of HFI's. There is no control plane."""
    nowhere = [Address("127.0.0.1", 1)]
    anywhere = Address("127.0.0.1", 0)
    at = Address("127.0.0.1", upstream.port)
    written = Sidecar("n", "c", anywhere, at, anywhere, nowhere, nowhere, access_log=access_log)
    config: dict[str, Any] = yaml.safe_load(sidecar(written))
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    hfi, *behind = manager["http_filters"]
    assert [one["name"] for one in (hfi, *behind)] == ["hfi", "hfi-bandwidth", "envoy.filters.http.router"]
    manager["http_filters"] = [*instead_of_hfi, *behind]
    return config


def sets_throughput(only_from: str) -> dict[str, Any]:
    """Takes the limit from a header of the test's, and sets nothing without it."""
    header = {"key": "x-envoy-fault-throughput-response", "value": f"%REQ({only_from})%"}
    mutations = {"request_mutations": [{"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}]}
    kind = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    return {"name": "stand-in", "typed_config": {"@type": kind, "mutations": mutations}}


def names_fault(value: str) -> dict[str, Any]:
    """Sets the filter state that HFI's filter sets."""
    kind = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
    text = {"text_format_source": {"inline_string": value}, "omit_empty_values": True}
    state = {"object_key": "wasm.hfi.fault", "factory_key": "envoy.string"}
    set_it = {**state, "format_string": text, "skip_if_empty": True}
    return {"name": "stand-in", "typed_config": {"@type": kind, "on_request_headers": [set_it]}}


def fault_headers(upstream: Upstream) -> list[str]:
    return [name for seen in upstream.seen() for name, _ in seen.headers if name.startswith("x-envoy-fault")]


async def ask(port: str, path: str = LONG, headers: Headers = ()) -> Answer:
    return await once(int(port.rpartition(":")[2]), path, headers=headers)


async def test_no_client_steers_envoys_own_fault_filter(upstream: Upstream, tmp_path: Path) -> None:
    async with running_envoy(configured(upstream), tmp_path) as envoy:
        at = await envoy.listener("ingress")
        for headers in [STEERING, *[(one,) for one in STEERING]]:
            answer = await ask(at, headers=[*headers, ("x-kept", "yes")])
            assert (answer.status, len(answer.body) > 8_000) == (200, True)
        stats = await envoy.stats("^http[.]ingress[.]fault[.]")
        assert set(stats.values()) == {0}, stats
    assert fault_headers(upstream) == []
    assert all(("x-kept", "yes") in seen.headers for seen in upstream.seen())


async def test_a_response_is_as_slow_as_the_filter_says_and_the_upstream_is_not_told(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with running_envoy(configured(upstream, sets_throughput("x-test-kbps")), tmp_path) as envoy:
        at = await envoy.listener("ingress")
        quick = await ask(at)
        assert await envoy.stat(LIMITED) == 0
        # The client's own wish, for something else, is nobody's.
        slow = await ask(at, headers=[("x-test-kbps", str(KBPS)), ("x-envoy-fault-throughput-response", "100000")])
        assert await envoy.stat(LIMITED) == 1
        assert await envoy.stat(ACTIVE) == 0
    assert (slow.status, len(slow.body)) == (200, len(quick.body))
    # Envoy hands out a sixteenth of the second's share at once.
    assert slow.seconds >= len(slow.body) / 1024 / KBPS * 15 / 16 - 0.1
    assert fault_headers(upstream) == []


#: Envoy's own would have an access log wait for 10 s.
SOON = ("--file-flush-interval-msec", "50")


@pytest.mark.parametrize("to", ["access log.json", "-"])
async def test_the_access_log_names_the_fault(upstream: Upstream, tmp_path: Path, to: str) -> None:
    log = tmp_path / ("envoy/envoy.log" if to == "-" else to)
    config = configured(upstream, names_fault("%REQ(x-test-fault)%"), access_log=to if to == "-" else str(log))
    async with running_envoy(config, tmp_path / "envoy", arguments=SOON) as envoy:
        at = await envoy.listener("ingress")
        await ask(at, "/with", [("x-test-fault", "checkout/slow")])
        await ask(at, "/without?a=b")

        def lines() -> list[str]:
            written = log.read_text().splitlines() if log.exists() else []
            return [line for line in written if line.startswith("{") and line.endswith("}")]

        await eventually(lambda: len(lines()) == 2, what="two lines in the access log")
    found = {entry["path"]: entry for entry in map(json.loads, lines())}
    assert {path: entry["fault"] for path, entry in found.items()} == {"/with": "checkout/slow", "/without?a=b": None}
    assert {(entry["method"], entry["status"], entry["flags"]) for entry in found.values()} == {("GET", 200, "-")}
