"""What was counted is what was sent, exactly, from the worker to ``/v1/metrics``; and what is known of proxies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hfi_core.modules.catalogue import FILTER, modules_directory
from tests.e2e.ring import Ring, abort, assert_aborted, delay, rule
from tests.e2e.stack import Stack, StackFactory, started
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.traffic import statuses, volley
from tests.support.waiting import eventually, eventually_async

TOTALS = ("total_requests", "rules_matched", "faults_injected", "errors")
ECDS = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"


def counted_by_envoys(ring: Ring) -> dict[str, int]:
    return {name: sum(sidecar.stat(f"wasmcustom.hfi.{name}") for sidecar in ring.sidecars) for name in TOTALS}


async def test_what_is_counted_is_what_was_sent(stacks: StackFactory) -> None:
    async with started(stacks.on_memory()) as (_, ring):
        await ring.apply(
            ring.policy(
                rule("never", ring.path, percentage=0, abort=abort()),
                rule("half", ring.path, percentage=50, abort=abort(500)),
                rule("rest", ring.path, abort=abort(503), delay=delay("1ms")),
            )
        )
        async with ring.connections(16) as opened:
            found = statuses(await volley(opened, 1_000, ring.path))
            await volley(opened, 250, f"{ring.path}/other")
        assert set(found) == {500, 503}

        # The filter's own requests to the control plane are not among them.
        wanted = {
            "total_requests": 1_250,
            "rules_matched": 1_000 + 1_000 + found[503],
            "faults_injected": 1_000,
            "errors": 0,
        }
        await eventually(lambda: counted_by_envoys(ring) == wanted, what=f"{wanted} in the Envoys")
        await eventually_async(lambda: reported(ring, wanted), what=f"{wanted} in the control plane")
        metrics = await ring.api.get("/v1/metrics")
        here = {"policy": ring.name, "shadowed": {}}
        missed = {"percentage": found[503]}
        assert [entry for entry in metrics["rules"] if entry["policy"] == ring.name] == [
            {**here, "rule": "half", "matched": 1_000, "injected": {"abort": found[500]}, "skipped": missed},
            {**here, "rule": "never", "matched": 1_000, "injected": {}, "skipped": {"percentage": 1_000}},
            {**here, "rule": "rest", "matched": found[503], "injected": {"delay_abort": found[503]}, "skipped": {}},
        ]
        await eventually_async(lambda: recorded(ring, found[503]), what="each delay in the control plane's histogram")


async def recorded(ring: Ring, count: int) -> bool:
    """Histograms come with a report of their own time. Each VM has taken at least one snapshot over."""
    metrics = await ring.api.get("/v1/metrics")
    delays, takeovers = metrics["delay_ms"], metrics["takeover_us"]
    return (
        delays["count"] == count
        and delays["sum"] >= count
        and takeovers["count"] >= sum(sidecar.workers for sidecar in ring.sidecars)
    )


async def reported(ring: Ring, wanted: dict[str, int]) -> bool:
    metrics = await ring.api.get("/v1/metrics")
    return {name: metrics[name] for name in TOTALS} == wanted


async def test_prometheus_reads_the_same_numbers(ring: Ring) -> None:
    await ring.inject(abort=abort())
    for _ in range(7):
        await ring.ask()
    wanted = f'hfi_rule_injected_total{{kind="abort",policy="{ring.name}",rule="r"}} 7.0'

    async def shown() -> bool:
        response = await ring.api.ask("GET", "/v1/metrics?format=prometheus")
        assert response.headers["content-type"].startswith("text/plain")
        return wanted in response.text.splitlines()

    await eventually_async(shown, what=wanted)


async def test_two_proxies_are_summed(ring: Ring) -> None:
    await ring.inject(abort=abort())
    for sidecar, count in zip(ring.sidecars, (3, 4), strict=True):
        for _ in range(count):
            await ring.ask(by=sidecar)

    async def injected() -> bool:
        rules = (await ring.api.get("/v1/metrics"))["rules"]
        return [entry["injected"] for entry in rules if entry["policy"] == ring.name] == [{"abort": 7}]

    await eventually_async(injected, what="3 + 4 aborts")


async def test_a_proxy_that_restarts_takes_nothing_back(ring: Ring, stack: Stack, processes: Processes) -> None:
    await ring.inject(abort=abort())
    sidecar = Sidecar(processes, stack.control, ring.upstream.port, node="restarting-1", cluster="checkout")

    async def injected(count: int) -> bool:
        rules = (await ring.api.get("/v1/metrics"))["rules"]
        return [entry["injected"] for entry in rules if entry["policy"] == ring.name] == [{"abort": count}]

    try:
        # The second time it counts beyond what it had, within one report.
        for sent, total in ((3, 3), (5, 8)):
            sidecar.start()
            await eventually_async(lambda: felt(ring, sidecar), within=30, what="its rules")
            for _ in range(sent - 1):
                assert_aborted(await ring.ask(by=sidecar))
            await eventually_async(lambda total=total: injected(total), within=8, what=f"{total} aborts in all")
            # A restart is told by an uptime that has become smaller: this life has to be longer than what the next one
            # has lived at its first report.
            await eventually(lambda: sidecar.stat("server.uptime") > 4, what="an uptime to fall from")
            sidecar.stop()
    finally:
        sidecar.stop()


async def felt(ring: Ring, sidecar: Sidecar) -> bool:
    """One request, which is aborted or not."""
    return (await ring.ask(by=sidecar)).status == 503


async def test_a_proxy_is_known_with_its_module_and_its_rules(ring: Ring, stack: Stack) -> None:
    [stored] = await ring.apply(ring.policy(rule(path=ring.path, abort=abort())))
    version = int(stored["metadata"]["version"])
    known: dict[str, Any] = {item["node"]: item for item in (await ring.api.get("/v1/proxies"))["items"]}
    assert set(known) >= {sidecar.node for sidecar in ring.sidecars}
    for node, cluster, labels in (
        ("checkout-1", "checkout", {"track": "canary", "zone": "a"}),
        ("payments-1", "payments", {"track": "stable", "zone": "a"}),
    ):
        item = known[node]
        assert (item["cluster"], item["labels"], item["connected"]) == (cluster, labels, True)
        assert item["xds"]["streams"] == 1
        [module] = [resource for resource in item["xds"]["resources"] if resource["name"] == "hfi"]
        assert (module["typeUrl"], module["state"], module["message"]) == (ECDS, "acked", "")
        assert item["rules"]["upToDate"]
        assert int(item["rules"]["version"]) >= version
    running = int(known["checkout-1"]["rules"]["version"])
    await eventually(lambda: ring.sidecar.stat("wasmcustom.hfi.snapshot_version") == running, what="its gauge")


async def test_the_module_that_runs_is_the_one_that_is_shipped(ring: Ring) -> None:
    """Envoy's own word for it: the configuration that it runs holds these very bytes."""
    code = (Path(modules_directory()) / FILTER).read_bytes()
    dumped = ring.sidecar.inline_modules()
    assert [hashlib.sha256(module).hexdigest() for module in dumped] == [hashlib.sha256(code).hexdigest()]


async def test_a_change_of_policy_reloads_no_filter(ring: Ring) -> None:
    """Rules travel by the stream: Envoy must not build its plugins anew for them."""
    loads = ring.sidecar.stats(".*config_reload")
    created = ring.sidecar.stats("wasm[.].*created")
    assert loads
    for status in (501, 502, 503):
        await ring.inject(abort=abort(status))
    assert ring.sidecar.stats(".*config_reload") == loads
    assert ring.sidecar.stats("wasm[.].*created") == created
