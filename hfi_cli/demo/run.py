"""The story of the demo: start everything, measure, apply a policy, measure again, compare."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hfi_cli import bootstrap, rollout
from hfi_cli.answers import Metrics
from hfi_cli.choices import StoreKind
from hfi_cli.client import HfiClient
from hfi_cli.demo import show
from hfi_cli.demo.envoy import RunningEnvoy, find_envoy, run_envoy
from hfi_cli.demo.plan import CLUSTER, NODE_ID, POLICY_NAME, SCENES, Scene, policy
from hfi_cli.demo.ports import prefer
from hfi_cli.demo.sample import SampleService
from hfi_cli.demo.traffic import send
from hfi_cli.demo.verdict import Measured, judge, judge_before
from hfi_cli.errors import NotDone
from hfi_cli.runtime import ControlPlane, url
from hfi_cli.settings import ServeSettings, StoreSettings
from hfi_core.address import Address
from hfi_sse.server import HttpServer

#: From the start of Envoy until its filter has asked for rules: some 2 s, and more on a machine that is busy.
FILTER_SECONDS = 60.0
ROLLOUT_SECONDS = 30.0
COUNTERS_SECONDS = 30.0
#: A filter adds up in each of its VMs, and hands all over once a second; Envoy reports once a second, perhaps in the
#: middle of that. So one more report than the first that is complete to all appearances.
SETTLED_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.1

T = TypeVar("T")


async def run(*, check: bool) -> None:
    """The whole demo. With ``check`` it ends by itself; otherwise it stays until it is cancelled.

    Raises :class:`~hfi_cli.errors.NotDone` when what was measured is not what was asked for, and
    :class:`~hfi_cli.errors.UsageError` when a binary is missing.
    """
    find_envoy()  # Before anything is started: the usual thing that is missing.
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hfi-demo-")))
        show.step("starting etcd and the control plane")
        plane = await stack.enter_async_context(
            ControlPlane(
                ServeSettings(
                    http=prefer(8080),
                    xds=prefer(18000),
                    store=StoreSettings(kind=StoreKind.embedded, data_dir=directory / "etcd"),
                )
            )
        )
        show.step("starting the sample service, and an Envoy in front of it")
        service = SampleService()
        at = await _serve(service, stack)
        envoy = await stack.enter_async_context(run_envoy(_bootstrap(plane, at), directory))
        client = stack.enter_context(HfiClient(url(plane.http)))
        places = show.Places(client.server, plane.xds, at, envoy.listen, envoy.admin, str(directory / "envoy.log"))
        outcomes = await _while_alive(_story(client, service, f"http://{envoy.listen}"), plane, envoy)
        show.results(outcomes)
        if check:
            _conclude(outcomes)
            return
        show.places(places)
        await _while_alive(asyncio.Event().wait(), plane, envoy)


def _conclude(outcomes: Sequence[show.Outcome]) -> None:
    if any(outcome.wrong for outcome in outcomes):
        raise NotDone("what was measured is not what was asked for")


async def _story(client: HfiClient, service: SampleService, traffic: str) -> list[show.Outcome]:
    """Measure, apply, measure. The client blocks, so each call goes to a thread: its server runs in this very loop."""
    await _until(lambda: _follows(client), FILTER_SECONDS, "Envoy's filter has not asked for rules")
    show.step("sending traffic without any policy")
    before = {scene: await _measure(scene, service, traffic) for scene in SCENES}
    show.step("applying the policy:")
    show.document(policy())
    written = (await asyncio.to_thread(client.apply, policy()))["policy"]
    wanted = [rollout.selector(written)], int(written["metadata"]["version"])
    await asyncio.to_thread(rollout.wait, client.proxies, *wanted, ROLLOUT_SECONDS, lambda progress: None)
    show.step("sending the same traffic again")
    after = {scene: await _measure(scene, service, traffic) for scene in SCENES}
    show.step("waiting for the filter's own counters")
    seen = 2 * sum(scene.count for scene in SCENES)
    await _until(lambda: _counted(client, seen), COUNTERS_SECONDS, f"the filter has not counted {seen} requests")
    await asyncio.sleep(SETTLED_SECONDS)
    injected = _injected(await asyncio.to_thread(client.metrics))
    outcomes = []
    for scene in SCENES:
        measured = replace(after[scene], injected=injected.get(scene.rule, 0))
        wrong = judge_before(scene, before[scene]) + judge(scene, measured)
        outcomes.append(show.Outcome(scene, before[scene], measured, wrong))
    return outcomes


def _follows(client: HfiClient) -> bool:
    return any(proxy["node"] == NODE_ID and proxy["rules"]["upToDate"] for proxy in client.proxies()["items"])


def _counted(client: HfiClient, requests: int) -> bool:
    return client.metrics()["total_requests"] >= requests


def _injected(metrics: Metrics) -> dict[str | None, int]:
    return {rule["rule"]: sum(rule["injected"].values()) for rule in metrics["rules"] if rule["policy"] == POLICY_NAME}


async def _measure(scene: Scene, service: SampleService, traffic: str) -> Measured:
    reached = service.reached[scene.path]
    answers = await send(traffic, scene)
    return Measured(answers, service.reached[scene.path] - reached)


async def _until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise NotDone(f"{otherwise} within {seconds:g} s")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def _serve(service: SampleService, stack: AsyncExitStack) -> Address:
    at = prefer(9000)
    server = HttpServer(service.app, at.host, at.port, stopping=asyncio.Event())
    stack.push_async_callback(server.stop)
    return at.with_port(await server.start())


async def _while_alive(work: Coroutine[Any, Any, T], plane: ControlPlane, envoy: RunningEnvoy) -> T:
    """What that work comes to, unless the control plane or Envoy ends before it."""

    async def envoy_ends() -> NoReturn:
        raise NotDone(f"Envoy has ended, with code {await envoy.process.wait()}")

    working = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(plane.serve()), asyncio.ensure_future(envoy_ends())]
    try:
        done, _ = await asyncio.wait([working, *others], return_when=asyncio.FIRST_COMPLETED)
        for failed in done - {working}:
            failed.result()
        return working.result()
    finally:
        for task in (working, *others):
            task.cancel()
        await asyncio.gather(working, *others, return_exceptions=True)


def _bootstrap(plane: ControlPlane, service: Address) -> str:
    return bootstrap.sidecar(
        bootstrap.Sidecar(
            node_id=NODE_ID,
            cluster=CLUSTER,
            listen=prefer(10000),
            upstream=service,
            admin=prefer(9901),
            http=[plane.http],
            xds=[plane.xds],
        )
    )
