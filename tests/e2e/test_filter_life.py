"""A new module on its way to real proxies, and back, while requests pass."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from hfi_core.modules.catalogue import FILTER, load_module
from tests.e2e.ring import Ring, abort, rule
from tests.e2e.stack import START_SECONDS, Stack, StackFactory
from tests.support.control_plane import CLI, Api, ControlPlane
from tests.support.modules import module, padded
from tests.support.processes import Processes
from tests.support.sidecar import Sidecar
from tests.support.traffic import Client, CutOff
from tests.support.upstream import Upstream
from tests.support.waiting import eventually, eventually_async

PATH = "/v1/filters/rollout"
#: A second, over all connections.
RATE, CONNECTIONS = 1_000, 20
STABLE = load_module(FILTER)
#: The same filter with other bytes: as good, and another module to everybody.
CANDIDATE = padded(STABLE.code, len(STABLE.code) + 1_000)
#: Says no to its configuration.
STUBBORN = module("stubborn", configure="(i32.const 0)")
#: Takes its configuration, and then does nothing at all: it never asks for rules.
MUTE = module("mute")
#: Counts an error each time it is configured. Its marker is the name of the metric.
FAULTY = module(
    "hfi.errors",
    imports="""
        (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_increment_metric" (func $add (param i32 i64) (result i32)))
    """,
    configure="""
        (drop (call $define (i32.const 0) (i32.const 0) (i32.const 10) (i32.const 512)))
        (drop (call $add (i32.load (i32.const 512)) (i64.const 3)))
        (i32.const 1)
    """,
)


def cli(stack: Stack, *args: str) -> Any:
    """``hfi-cli filter`` against this stack; its answer."""
    command = [*CLI, "--server", stack.control.url, "-o", "json", "filter", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def push(stack: Stack, directory: Path, version: str, code: bytes) -> None:
    file = directory / f"{version}.wasm"
    file.write_bytes(code)
    await asyncio.to_thread(cli, stack, "push", str(file), "--version", version)


async def change(ring: Ring, action: str = "", **body: Any) -> dict[str, Any]:
    answer: httpx.Response = await ring.api.ask("POST", PATH + action, body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def runs(sidecar: Sidecar, code: bytes) -> None:
    """Wait until that proxy has that module."""
    await eventually(lambda: sidecar.inline_modules() == [code], within=START_SECONDS, what=f"{sidecar.node}'s module")


async def all_applied(ring: Ring, **wanted: int) -> None:
    """Wait until so many nodes run the stable module, and so many the candidate."""

    async def so() -> bool:
        nodes = (await ring.api.get(PATH))["nodes"]
        return {name: counts for name, counts in nodes.items()} == {
            name: {"applied": wanted[name], "waiting": 0, "rejected": 0} for name in nodes
        }

    await eventually_async(so, within=START_SECONDS, what=f"nodes as {wanted}")


@dataclass
class Load:
    """Requests under way: what came of each that was sent, by path, since ``began`` on the loop's clock."""

    found: dict[str, Counter[int | str]]
    began: float

    @property
    def answered(self) -> int:
        return sum(counts.total() for counts in self.found.values())

    def behind(self) -> float:
        """By how many seconds there have been fewer of them than :data:`RATE` a second."""
        return asyncio.get_running_loop().time() - self.began - self.answered / RATE

    async def keeps_up(self) -> None:
        """Wait until so many have been answered as were due by now: what was late is sent after."""
        await eventually(lambda: self.behind() < 0.5, within=START_SECONDS, what=f"{RATE} requests a second")


@asynccontextmanager
async def load(ring: Ring) -> AsyncIterator[Load]:
    """Requests to each proxy, in turn to the path of a policy and to another, for as long as the block runs.

    One that is cut off counts as such, and its connection is opened anew; a proxy that takes none ends the load.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    async def fire(connection: Client) -> None:
        due = loop.time()
        while not ended.is_set():
            for path, counts in made.found.items():
                try:
                    counts[(await connection.request(path)).status] += 1
                except (CutOff, OSError, TimeoutError) as error:
                    counts[repr(error)] += 1
                    await connection.close()
                    await connection.open()
                due += CONNECTIONS / RATE
                await asyncio.sleep(max(0.0, due - loop.time()))

    async with AsyncExitStack() as stack:
        opened: list[Client] = []
        for sidecar in ring.sidecars:
            some = ring.connections(CONNECTIONS // len(ring.sidecars), by=sidecar)
            opened += await stack.enter_async_context(some)
        made = Load({ring.path: Counter(), f"{ring.path}/other": Counter()}, loop.time())
        async with asyncio.TaskGroup() as group:
            for connection in opened:
                group.create_task(fire(connection))
            try:
                yield made
            finally:
                ended.set()


async def rollbacks(api: Api, cause: str) -> float:
    """How many a replica has counted so far."""
    text = (await api.ask("GET", "/v1/metrics?format=prometheus")).text
    name = f'hfi_filter_rollbacks_total{{cause="{cause}"}} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


async def rejections(ring: Ring) -> int:
    """How many rollouts have gone back so far because a node has rejected them."""
    events = (await ring.api.get(PATH))["events"]
    return sum(event.get("cause") == "rejected" for event in events)


@pytest.fixture(scope="module")
def own_stack(processes: Processes, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Whose nodes run what these tests have them run, and the stable module after each."""
    one = StackFactory(processes, upstream, tmp_path_factory.mktemp("filters")).on_etcd()
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
async def life(own_stack: Stack) -> AsyncIterator[tuple[Stack, Ring]]:
    async with own_stack.ring() as ring:
        for sidecar in ring.sidecars:
            await runs(sidecar, STABLE.code)
        yield own_stack, ring


async def test_three_times_there_and_back_and_no_request_fails_but_by_a_policy(
    life: tuple[Stack, Ring], tmp_path: Path
) -> None:
    stack, ring = life
    canary, other = ring.sidecars
    await push(stack, tmp_path, "next", CANDIDATE)
    await ring.apply(ring.policy(rule(path=ring.path, abort=abort(418))))
    generations = []
    async with load(ring) as requests:
        for _ in range(3):
            await requests.keeps_up()
            # By the command line once in each round; the rest by REST, so that nothing but the proxies takes time.
            started = await asyncio.to_thread(
                cli, stack, "rollout", "start", "--version", "next", "--selector", "track=canary"
            )
            generations.append(started["rollout"]["candidate"]["generation"])
            await all_applied(ring, candidate=1, stable=1)
            assert canary.inline_modules() == [CANDIDATE]
            assert other.inline_modules() == [STABLE.code]
            await requests.keeps_up()
            await change(ring, "/advance", share=100)
            await all_applied(ring, candidate=2, stable=0)
            assert other.inline_modules() == [CANDIDATE]
            # Rules go on to reach who runs the candidate.
            await ring.apply(ring.policy(rule(path=ring.path, abort=abort(418)), name="again", priority=1))
            await requests.keeps_up()
            await change(ring, "/rollback", reason="there and back")
            await all_applied(ring, candidate=0, stable=2)
            assert [sidecar.inline_modules() for sidecar in ring.sidecars] == [[STABLE.code]] * 2
        sent = requests.answered
        await eventually(lambda: requests.answered > sent + RATE, within=START_SECONDS, what="a second after it")
        await requests.keeps_up()
    assert generations == [generations[0], generations[0] + 1, generations[0] + 2]
    assert {path: [*counts] for path, counts in requests.found.items()} == {
        ring.path: [418],
        f"{ring.path}/other": [200],
    }, requests.found


@pytest.mark.parametrize(
    ("version", "code", "cause", "words"),
    [
        ("stubborn", STUBBORN, "rejected", "node checkout-1 rejected it: Unable to create Wasm plugin"),
        ("faulty", FAULTY, "errors", "node checkout-1 has had "),
        ("mute", MUTE, "silent", "node checkout-1 runs it and has not been heard of for 10 s"),
    ],
)
async def test_a_bad_candidate_goes_back_by_itself(
    life: tuple[Stack, Ring], tmp_path: Path, version: str, code: bytes, cause: str, words: str
) -> None:
    stack, ring = life
    canary, _ = ring.sidecars
    before = await rollbacks(ring.api, cause)
    await push(stack, tmp_path, version, code)
    await change(ring, version=version, selector={"labels": {"track": "canary"}}, watchSeconds=10)

    async def back() -> bool:
        rollout = (await ring.api.get(PATH))["rollout"]
        return bool(rollout["state"] == "rolled_back")

    await eventually_async(back, within=START_SECONDS, what="the way back")
    status = await ring.api.get(PATH)
    assert (status["rollout"]["cause"], status["events"][-1]["cause"]) == (cause, cause)
    assert status["rollout"]["reason"].startswith(words)
    assert await rollbacks(ring.api, cause) == before + 1
    await all_applied(ring, candidate=0, stable=2)
    assert canary.inline_modules() == [STABLE.code]
    # The filter is there again: its rules are.
    await ring.inject(abort=abort(418))
    assert (await ring.ask()).status == 418


async def test_a_module_that_was_rejected_is_tried_again_and_really_applied(
    life: tuple[Stack, Ring], tmp_path: Path
) -> None:
    """Envoy would acknowledge the same bytes and not apply them; so each attempt is another content."""
    stack, ring = life
    await push(stack, tmp_path, "stubborn", STUBBORN)
    for _ in range(2):
        before = await rejections(ring)
        await change(ring, version="stubborn", share=100)

        async def rejected(times: int = before + 1) -> bool:
            return await rejections(ring) == times

        await eventually_async(rejected, within=START_SECONDS, what="the rejection")
    await all_applied(ring, candidate=0, stable=2)
    text = (await ring.api.ask("GET", "/v1/metrics?format=prometheus")).text
    assert 'hfi_xds_false_acks_total{type="ecds"}' not in text


async def test_two_replicas_agree_and_one_of_them_takes_it_back(
    life: tuple[Stack, Ring], processes: Processes, tmp_path: Path
) -> None:
    stack, ring = life
    second = ControlPlane(processes, ["--store", "etcd", "--etcd", stack.etcd.endpoint], "second-control-plane")
    proxy = Sidecar(processes, second, stack.upstream.port, node="second-1", cluster="second")
    try:
        second.start()
        proxy.start()
        await runs(proxy, STABLE.code)
        async with Api(second.url) as other:
            # Pushed to one and started at the other; each serves its own proxies.
            await push(stack, tmp_path, "next", CANDIDATE)
            answer = await other.ask("POST", PATH, {"version": "next", "share": 100})
            assert answer.status_code == 200, answer.text
            for sidecar in (*ring.sidecars, proxy):
                await runs(sidecar, CANDIDATE)
            # Each counts the proxies of both.
            await all_applied(ring, candidate=3, stable=0)

            async def agreed() -> bool:
                return await ring.api.get(PATH) == await other.get(PATH)

            await eventually_async(agreed, within=START_SECONDS, what="the same word from both")
            await change(ring, "/rollback")
            await runs(proxy, STABLE.code)

            before = [await rollbacks(api, "rejected") for api in (ring.api, other)]
            await push(stack, tmp_path, "stubborn", STUBBORN)
            await change(ring, version="stubborn", selector={"cluster": "second"})

            async def back() -> bool:
                return all([(await api.get(PATH))["rollout"]["cause"] == "rejected" for api in (ring.api, other)])

            await eventually_async(back, within=START_SECONDS, what="the way back, at both")
            reason = (await ring.api.get(PATH))["rollout"]["reason"]
            assert reason.startswith("node second-1 rejected it")
            # It is the one that sees the proxy that has rejected it.
            assert [await rollbacks(api, "rejected") for api in (ring.api, other)] == [before[0], before[1] + 1]
    finally:
        proxy.stop()
        second.stop()
