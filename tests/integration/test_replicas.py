"""Two and three replicas, each a process of its own, on one real etcd."""

from __future__ import annotations

import asyncio
import json
import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from hfi_core.filters.rollout import MIN_WATCH_SECONDS
from hfi_xds import pb
from hfi_xds.resource_types import EXTENSION_CONFIG
from tests.integration.store_support import Relay
from tests.integration.test_cli_serve import Served, serving
from tests.integration.test_tls_envoy import answers, bootstrap
from tests.support.envoy import running_envoy
from tests.support.etcd import Etcd
from tests.support.grpcurl import grpcurl
from tests.support.modules import module
from tests.support.policies import abort_rule, policy
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.etcd

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
WASM = {"content-type": "application/wasm"}
#: A lease of some seconds, on a busy machine.
GONE_SECONDS = 30.0
#: A replica says that it is not ready when it has not heard of etcd for 20 s.
UNREADY_SECONDS = 60.0


class Replica:
    """One of several, asked plainly."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.served.url}{path}", headers=headers, trust_env=False, verify=False, timeout=20)

    def apply(self, document: dict[str, Any]) -> str:
        """The version as stored."""
        answer = httpx.post(f"{self.served.url}/v1/policies", json=document, trust_env=False, verify=False, timeout=20)
        assert answer.is_success, answer.text
        return str(answer.json()["metadata"]["version"])

    def send(self, method: str, path: str, **body: Any) -> None:
        answer = httpx.request(method, f"{self.served.url}{path}", **body, trust_env=False, verify=False, timeout=60)
        assert answer.is_success, answer.text

    def rollout(self) -> Any:
        return self.get("/v1/filters/rollout").json()

    def rules(self) -> tuple[str, str, Any]:
        """Version, epoch and rules, as a proxy is sent them."""
        answer = self.get("/v1/config/stream?once=true&wait=0s", **{"x-hfi-cluster": "c"})
        data = json.loads(answer.text.split("data: ", 1)[1])
        return data["version"], data["epoch"], data["rules"]

    def after(self, version: str, epoch: str) -> str:
        """How far it vouches for a reader who has that."""
        position = {"last-event-id": version, "x-hfi-epoch": epoch, "x-hfi-cluster": "c"}
        return str(self.get("/v1/config/stream?once=true&wait=0s", **position).headers["x-hfi-version"])

    def age_ms(self) -> int:
        return int(self.get("/v1/config/stream?once=true&wait=0s").headers["x-hfi-age-ms"])

    @property
    def ready(self) -> bool:
        return self.get("/v1/health?ready").status_code == 200

    @property
    def id(self) -> str:
        [own] = [replica["id"] for replica in self.get("/v1/proxies").json()["replicas"] if replica["self"]]
        return str(own)

    def replicas(self) -> set[str]:
        return {replica["id"] for replica in self.get("/v1/proxies").json()["replicas"]}

    def proxies(self) -> dict[str, dict[str, Any]]:
        return {item["node"]: item for item in self.get("/v1/proxies").json()["items"]}

    def states(self, node: str) -> list[tuple[str, str]]:
        """What is known of a node's resources: state and digest."""
        proxy = self.proxies().get(node)
        return [] if proxy is None else [(found["state"], found["digest"]) for found in proxy["xds"]["resources"]]

    def sent(self) -> float:
        """Extension configurations sent to anybody."""
        text = self.get("/v1/metrics?format=prometheus").text
        found = [line for line in text.splitlines() if line.startswith('hfi_xds_pushes_total{type="ecds"}')]
        return float(found[0].split()[1]) if found else 0.0


class Stream:
    """An incremental stream of a client that says what the test has it say."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._said: queue.Queue[pb.DeltaDiscoveryRequest | None] = queue.Queue()
        call: Any = channel.stream_stream(
            DELTA,
            request_serializer=pb.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=pb.DeltaDiscoveryResponse.FromString,
        )
        self.answers = call(iter(self._said.get, None), timeout=120)

    def hello(self, node: str, **has: str) -> None:
        self._said.put(
            pb.DeltaDiscoveryRequest(
                node=pb.Node(id=node, cluster="c"),
                type_url=EXTENSION_CONFIG,
                resource_names_subscribe=["hfi"],
                initial_resource_versions=has,
            )
        )

    def next(self) -> pb.DeltaDiscoveryResponse:
        response: pb.DeltaDiscoveryResponse = next(self.answers)
        return response

    def answer(self, response: pb.DeltaDiscoveryResponse, error: str = "") -> None:
        request = pb.DeltaDiscoveryRequest(type_url=EXTENSION_CONFIG, response_nonce=response.nonce)
        if error:
            request.error_detail.code = 3
            request.error_detail.message = error
        self._said.put(request)

    def end(self) -> None:
        self._said.put(None)
        self.answers.cancel()


@contextmanager
def streaming(replica: Replica) -> Iterator[Stream]:
    with grpc.insecure_channel(replica.served.xds) as channel:
        stream = Stream(channel)
        try:
            yield stream
        finally:
            stream.end()


@contextmanager
def replicas(directory: Path, *etcds: str) -> Iterator[list[Replica]]:
    """One for each of these endpoints."""
    with ExitStack() as stack:
        found = []
        for number, endpoint in enumerate(etcds):
            place = directory / f"replica-{number}"
            place.mkdir()
            options = ("--store", "etcd", "--etcd", endpoint)
            found.append(Replica(stack.enter_context(serving(place, *options))))
        yield found


async def test_all_serve_the_same_versions(tmp_path: Path, etcd: Etcd) -> None:
    with replicas(tmp_path, *[etcd.endpoint] * 3) as three:
        for number, replica in enumerate(three):
            newest = replica.apply(policy(f"p{number}", abort_rule(status=500 + number), priority=number))
        await eventually(lambda: {replica.rules()[0] for replica in three} == {newest}, what="the newest everywhere")
        first, *others = [replica.rules() for replica in three]
        assert [rule["policy"] for rule in first[2]] == ["p2", "p1", "p0"]
        assert others == [first, first]
        digests = []
        for replica in three:
            with streaming(replica) as stream:
                stream.hello("n1")
                [resource] = stream.next().resources
                digests.append(resource.version)
        assert len(set(digests)) == 1
        with streaming(three[2]) as stream:
            stream.hello("n2", hfi=digests[0])
            await eventually(lambda: three[0].states("n2") == [("acked", digests[0])], what="what it has is known")
            assert three[2].sent() == 1, "and what it has from another replica is not sent"


async def test_all_come_to_one_version_and_so_say_the_same_of_every_proxy(tmp_path: Path, etcd: Etcd) -> None:
    """One has watched, and is at the last change of a policy; who comes later has listed what was written since."""

    def version(replica: Replica) -> int:
        return int(replica.get("/v1/proxies").json()["version"])

    with replicas(tmp_path, *[etcd.endpoint] * 2) as (one, two):
        later = version(two)
        await eventually(lambda: version(one) == later, what="what the other one serves")
        assert version(two) == later, "and not a newer one, with which it had to catch up itself"


async def test_each_knows_who_is_connected_to_the_others(tmp_path: Path, etcd: Etcd) -> None:
    with replicas(tmp_path, *[etcd.endpoint] * 3) as (one, two, three):
        ids = [replica.id for replica in (one, two, three)]
        await eventually(lambda: one.replicas() == two.replicas() == three.replicas() == set(ids), within=GONE_SECONDS)
        with streaming(one) as first, streaming(two) as second:
            for stream, node in ((first, "ns/n1"), (second, "n2")):
                stream.hello(node)
                stream.answer(stream.next(), error="no" if node == "n2" else "")

            def seen() -> list[tuple[str, str, str]]:
                return [
                    (node, proxy["xds"]["replica"], resource["state"])
                    for node, proxy in three.proxies().items()
                    for resource in proxy["xds"]["resources"]
                ]

            await eventually(lambda: seen() == [("n2", ids[1], "nacked"), ("ns/n1", ids[0], "acked")])
            assert three.get("/v1/proxies/ns/n1").json()["connected"]
            one.served.process.kill()
            one.served.process.wait()
            await eventually(lambda: [node for node, *_ in seen()] == ["n2"], within=GONE_SECONDS, what="its end")
            assert two.served.end() == 0
            await eventually(lambda: seen() == [], what="the goodbye")
            assert three.replicas() == {ids[2]}
    assert etcd.ctl("get", "--prefix", "/hfi/status/", "--keys-only").split() in ([], [f"/hfi/status/{ids[2]}"])


STATUS = "envoy.service.status.v3.ClientStatusDiscoveryService"


async def status(replica: Replica, *methods: str) -> list[dict[str, tuple[str, str, str]]]:
    """What somebody with grpcurl is told, by each method: by node, of its one resource, status, version and words."""
    found = []
    for method in methods:
        answer = await grpcurl(replica.served.xds, f"{STATUS}/{method}", data={})
        [message] = answer.messages()
        told = {}
        for config in message.get("config", []):
            [resource] = config["generic_xds_configs"]
            assert (resource["type_url"], resource["name"]) == (EXTENSION_CONFIG, "hfi")
            words = resource.get("error_state", {}).get("details", "")
            told[config["node"]["id"]] = (resource["config_status"], resource.get("version_info", ""), words)
        found.append(told)
    return found


@pytest.mark.grpcurl
async def test_generic_tools_see_every_node_at_any_replica(tmp_path: Path, etcd: Etcd) -> None:
    """By CSDS: also at the replica that has none of the streams, and until they are gone."""
    nodes = ("takes", "refuses", "waits")
    with replicas(tmp_path, *[etcd.endpoint] * 2) as (one, two), ExitStack() as stack:
        versions = set()
        for node in nodes:
            stream = stack.enter_context(streaming(one))
            stream.hello(node)
            response = stream.next()
            versions.add(response.resources[0].version)
            if node != "waits":
                stream.answer(response, error="Unable to create Wasm plugin hfi" if node == "refuses" else "")
        [version] = versions
        expected = {
            "takes": ("SYNCED", version, ""),
            "refuses": ("ERROR", "", "INVALID_ARGUMENT: Unable to create Wasm plugin hfi"),
            "waits": ("STALE", "", ""),
        }

        async def seen() -> bool:
            told = [await status(replica, "FetchClientStatus", "StreamClientStatus") for replica in (two, one)]
            return told == [[expected] * 2] * 2

        await eventually_async(seen, within=GONE_SECONDS, what="all three nodes at both replicas")
        stack.close()

        async def gone() -> bool:
            return await status(two, "FetchClientStatus") == [{}]

        await eventually_async(gone, within=GONE_SECONDS, what="the end of the streams, at the other replica")


async def test_no_replica_believes_what_another_knows_better(tmp_path: Path, etcd: Etcd) -> None:
    with replicas(tmp_path, *[etcd.endpoint] * 2) as (one, two):
        with streaming(one) as stream:
            stream.hello("n1")
            response = stream.next()
            version = response.resources[0].version
            stream.answer(response, error="Unable to create Wasm plugin")
            await eventually(lambda: one.states("n1") == [("nacked", version)])
        await eventually(lambda: etcd.ctl("get", "--prefix", "/hfi/rejections/", "--keys-only").strip() != "")
        place = tmp_path / "restarted"
        place.mkdir()
        with serving(place, "--store", "etcd", "--etcd", etcd.endpoint) as served:
            for replica in (two, Replica(served)):
                with streaming(replica) as stream:
                    stream.hello("n1", hfi=version)
                    await eventually(
                        lambda replica=replica: replica.states("n1") == [("not_applied", version)]  # type: ignore[misc]
                    )


async def test_a_rejection_that_its_replica_did_not_live_to_act_on_ends_the_rollout(tmp_path: Path, etcd: Etcd) -> None:
    """The node comes back to another one, which does not send it the candidate again, and knows why."""
    with replicas(tmp_path, etcd.endpoint) as (one,), streaming(one) as other, streaming(one) as stream:
        one.send("PUT", "/v1/filters/2", content=module("two"), headers=WASM)
        other.hello("other")
        stable = await asyncio.to_thread(other.next)
        other.answer(stable)
        one.send("POST", "/v1/filters/rollout", json={"version": "2", "share": 100, "watchSeconds": 600})
        candidate = await asyncio.to_thread(other.next)
        other.answer(candidate)
        version = candidate.resources[0].version
        said = {"node_id": "n1", "type_url": EXTENSION_CONFIG, "name": "hfi", "version": version}
        etcd.ctl("put", "/hfi/rejections/of-another-replica", json.dumps(said))
        stream.hello("n1", hfi=stable.resources[0].version)
        await true(lambda: one.rollout()["rollout"]["state"] == "rolled_back", what="the way back")
        back = one.rollout()["rollout"]
        assert (back["cause"], back["reason"].startswith("node n1 rejected it")) == ("rejected", True)


@pytest.mark.envoy
async def test_an_envoy_goes_on_with_the_next_and_the_next(tmp_path: Path, etcd: Etcd) -> None:
    """Each replica that it is connected to is killed in turn; what it has is not sent again, and changes arrive."""
    with replicas(tmp_path, *[etcd.endpoint] * 3) as left:
        left[0].apply(policy("p", abort_rule(status=500)))
        text = bootstrap([replica.served for replica in left])
        async with running_envoy(text, tmp_path / "envoy") as envoy:
            await answers(envoy, 500)
            for status in (501, 502):

                def holder() -> Replica | None:
                    ids = {replica.id: replica for replica in left}
                    return ids.get(left[0].proxies().get("n1", {"xds": {"replica": ""}})["xds"]["replica"])

                gone = await eventually(holder, within=GONE_SECONDS, what="who holds its stream")
                assert gone is not None
                sent = [replica.sent() for replica in left if replica is not gone]
                left.remove(gone)
                gone.served.process.kill()
                gone.served.process.wait()
                left[0].apply(policy("p", abort_rule(status=status)))
                await answers(envoy, status)

                def acked() -> bool:
                    # The one that is gone may have told of what it sent, and not of the answer: until its lease ends.
                    return [state for state, _ in left[-1].states("n1")] == ["acked"]

                await eventually(acked, within=GONE_SECONDS, what="what it has, at its new stream")
                assert [replica.sent() for replica in left] == sent
            assert await envoy.stat("wasmcustom.hfi.errors") in (None, 0)


class Waiting:
    """A filter that waits for rules at one replica, again and again, until it falls silent."""

    def __init__(self, replica: Replica, node: str) -> None:
        self._replica = replica
        self._headers = {"x-hfi-node": node, "x-hfi-cluster": "c"}
        self._silent = False
        self.task = asyncio.create_task(asyncio.to_thread(self._wait))

    def _wait(self) -> None:
        while not self._silent:
            assert self._replica.get("/v1/config/stream?once=true&wait=1s", **self._headers).is_success

    async def fall_silent(self) -> None:
        self._silent = True
        await self.task


async def test_a_node_is_silent_when_it_waits_for_rules_at_no_replica(tmp_path: Path, etcd: Etcd) -> None:
    """It has its module from one and its rules from the other; the one with its stream is the one that watches it."""
    watch = MIN_WATCH_SECONDS
    with replicas(tmp_path, *[etcd.endpoint] * 2) as (one, two), streaming(one) as stream:
        waiting = Waiting(two, "n1")
        try:
            stream.hello("n1")
            stream.answer(stream.next())
            one.send("PUT", "/v1/filters/2", content=module("two"), headers=WASM)
            start = {"version": "2", "selector": {"cluster": "c"}, "watchSeconds": watch}
            one.send("POST", "/v1/filters/rollout", json=start)
            stream.answer(await asyncio.to_thread(stream.next))
            await true(lambda: one.rollout()["nodes"]["candidate"]["applied"] == 1, what="the candidate at the node")
            applied = time.monotonic()

            # Nobody hears of it at the replica with its stream; all that time, it could have been condemned there.
            def half_over() -> bool:
                assert one.rollout()["rollout"]["state"] == "running"
                return time.monotonic() > applied + watch / 2

            await true(half_over, what="half of its watch")
            await waiting.fall_silent()
            silent = time.monotonic()

            await true(lambda: one.rollout()["rollout"]["state"] == "rolled_back", within=60, what="the way back")
            assert time.monotonic() > silent + watch - 1, "it was heard of until it fell silent"
            back = one.rollout()["rollout"]
            assert (back["cause"], "n1 runs it and has not been heard of" in back["reason"]) == ("silent", True)
            stream.answer(await asyncio.to_thread(stream.next))
        finally:
            await waiting.fall_silent()


async def test_a_replica_without_etcd_says_so_serves_on_and_catches_up(tmp_path: Path, etcd: Etcd) -> None:
    async with Relay(etcd.client_port) as relay:
        with ExitStack() as stack:
            # Whatever waits for a replica waits in a thread: the relay needs the loop meanwhile.
            one, two = await asyncio.to_thread(stack.enter_context, replicas(tmp_path, etcd.endpoint, relay.endpoint))
            name = await asyncio.to_thread(lambda: two.id)
            before = one.apply(policy("before", abort_rule()))
            await true(lambda: two.rules()[0] == before, what="the first change")
            await true(lambda: two.ready and two.age_ms() == 0, what="that it is ready")
            await relay.down()
            await true(lambda: not two.ready, within=UNREADY_SECONDS, what="that it is not ready")
            assert (await asyncio.to_thread(two.get, "/v1/health")).json()["troubles"]
            await true(lambda: one.ready, what="that the other one is ready")
            stream = stack.enter_context(streaming(two))
            stream.hello("n1")
            served = await asyncio.to_thread(stream.next)
            stream.answer(served)
            one.send("PUT", "/v1/filters/2", content=module("two"), headers=WASM)
            one.send("POST", "/v1/filters/rollout", json={"version": "2", "selector": {"cluster": "c"}})
            newest = one.apply(policy("after", abort_rule()))
            etcd.ctl("compact", newest)
            assert (await asyncio.to_thread(two.rules))[0] == before, "what it has, it serves"
            assert await asyncio.to_thread(two.age_ms) > 10_000
            await true(lambda: name not in one.replicas(), within=GONE_SECONDS, what="the end of its lease")
            relay.up()
            await true(lambda: two.rules()[2] == one.rules()[2], what="all that it has missed")
            candidate = await asyncio.to_thread(stream.next)
            assert candidate.resources[0].version != served.resources[0].version
            stream.answer(candidate)
            await true(lambda: one.rollout()["nodes"]["candidate"]["applied"] == 1, what="the module, at who missed it")
            # It has read the store anew, and so is at its newest revision, which need not be of a policy. A proxy that
            # goes from it to the other one is not told that this one is behind.
            position = two.rules()[0]
            assert int(position) >= int(newest)
            assert int(one.after(position, two.rules()[1])) >= int(position)
            await true(lambda: two.ready and two.age_ms() == 0, what="that it is ready again")
            await true(lambda: name in one.replicas(), what="its return")


async def true(condition: Callable[[], bool], *, within: float = 30.0, what: str) -> None:
    """Wait for something of which a replica is asked."""
    await eventually_async(lambda: asyncio.to_thread(condition), within=within, what=what)
