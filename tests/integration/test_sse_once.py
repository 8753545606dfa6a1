"""``/v1/config/stream?once=true``, as Envoy's filter asks it, over TCP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hfi_core.clock import now_ms
from hfi_core.policy.model import Policy
from hfi_core.policy.stored import encode
from hfi_core.store.memory import MemoryStore
from hfi_sse.services import HttpSettings
from tests.support.policies import policy
from tests.support.waiting import eventually_async
from tests.unit.sse.plane import HOST, Plane, running

ONE = {"cluster": "one"}
TWO = {"cluster": "two"}
NOTHING_NEW = ": nothing new\n\n"


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        yield found


async def poll(
    plane: Plane,
    version: int | str | None = None,
    *,
    node: str = "n",
    cluster: str = "one",
    epoch: str | None = None,
    labels: str = "",
    wait: str = "30s",
) -> httpx.Response:
    headers = {"accept": "text/event-stream", "x-hfi-node": node, "x-hfi-cluster": cluster, "x-hfi-labels": labels}
    if version is not None:
        headers["last-event-id"] = str(version)
    if epoch is not None:
        headers["x-hfi-epoch"] = epoch
    answer = await plane.client.get("/v1/config/stream", params={"once": "true", "wait": wait}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer


def event(answer: httpx.Response) -> dict[str, Any]:
    """The data of an answer that is exactly one update event."""
    lines = answer.text.split("\n")
    assert lines[3:] == ["", ""], answer.text
    assert lines[1] == "event: update"
    data: dict[str, Any] = json.loads(lines[2].removeprefix("data: "))
    assert lines[0] == f"id: {data['version']}"
    assert answer.headers["x-hfi-version"] == data["version"]
    assert answer.headers["x-hfi-epoch"] == data["epoch"]
    return data


def rules(answer: httpx.Response) -> list[str]:
    return [rule["policy"] for rule in event(answer)["rules"]]


async def test_who_has_nothing_is_sent_its_view_at_once(plane: Plane) -> None:
    await plane.apply("a", selector=ONE)
    await plane.apply("b", selector=TWO)
    version = await plane.apply("c", priority=1)
    answer = await poll(plane)
    assert rules(answer) == ["c", "a"]
    assert event(answer)["version"] == str(version)
    assert event(answer)["server_time_ms"] > 1_700_000_000_000
    assert answer.headers["cache-control"] == "no-store"
    assert rules(await poll(plane, node="m", cluster="two")) == ["c", "b"]


async def test_who_is_current_is_parked_and_woken_by_a_change_of_its_view(plane: Plane) -> None:
    version = await plane.apply("a", selector=ONE)
    await poll(plane)
    parked = asyncio.create_task(poll(plane, version))
    await plane.parked(1)
    await plane.apply("b", selector=TWO)
    await plane.apply("b", selector=TWO, mode="shadow")
    assert (await plane.stream_metrics())["parked"] == 1, "another cluster's change wakes nobody here"
    assert not parked.done()
    await plane.apply("c", selector=ONE)
    assert rules(await parked) == ["a", "c"]


async def test_when_the_time_is_up_a_comment_says_how_far_the_reader_is(plane: Plane) -> None:
    version = await plane.apply("a", selector=ONE)
    await poll(plane)
    parked = asyncio.create_task(poll(plane, version, wait="700ms"))
    await plane.parked(1)
    newer = await plane.apply("b", selector=TWO)
    answer = await parked
    assert answer.text == NOTHING_NEW
    assert answer.headers["x-hfi-version"] == str(newer)
    assert answer.headers["x-hfi-epoch"] == await plane.store.epoch()
    for held in (version, newer):
        assert (await poll(plane, held, wait="0s")).text == NOTHING_NEW


async def test_a_replica_that_is_cut_off_says_for_how_long() -> None:
    ahead = 0
    async with running(clock=lambda: now_ms() + ahead) as plane:
        version = await plane.apply("a")
        assert (await poll(plane)).headers["x-hfi-age-ms"] == "0"
        ahead = 60_000
        for held in (None, version):
            answer = await poll(plane, held, wait="0s")
            assert 60_000 <= int(answer.headers["x-hfi-age-ms"]) < 120_000
        assert answer.text == NOTHING_NEW
        newer = await plane.apply("a", mode="shadow")
        answer = await poll(plane, version)
        assert (answer.headers["x-hfi-version"], answer.headers["x-hfi-age-ms"]) == (str(newer), "0")


async def test_the_wait_that_is_not_named_is_the_settings(plane: Plane) -> None:
    async with running(settings=HttpSettings(default_wait_seconds=0.01)) as quick:
        await poll(quick)
        headers = {"x-hfi-node": "n", "x-hfi-cluster": "one", "last-event-id": "0"}
        answer = await quick.client.get("/v1/config/stream?once=true", headers=headers)
        assert answer.text == NOTHING_NEW


@pytest.mark.parametrize("query", ["once=maybe", "once=true&wait=301s", "once=true&wait=25", "once=true&labels=x"])
async def test_malformed_questions(plane: Plane, query: str) -> None:
    answer = await plane.client.get(f"/v1/config/stream?{query}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:hfi:problem:parameter-invalid"


async def test_a_parameter_of_a_newer_filter_is_ignored(plane: Plane) -> None:
    assert (await plane.client.get("/v1/config/stream?once=true&compress=true")).status_code == 200


async def test_a_position_of_another_epoch_is_none(plane: Plane) -> None:
    version = await plane.apply("a", selector=ONE)
    epoch = await plane.store.epoch()
    await poll(plane)
    assert rules(await poll(plane, version, epoch="another")) == ["a"]
    assert (await poll(plane, version, epoch=epoch, wait="0s")).text == NOTHING_NEW


async def test_who_has_seen_more_waits_for_this_replica_when_the_epoch_is_ours(plane: Plane) -> None:
    version = await plane.apply("a", selector=ONE)
    epoch = await plane.store.epoch()
    behind = await poll(plane, version + 1, epoch=epoch, wait="0s")
    assert behind.text == NOTHING_NEW
    assert behind.headers["x-hfi-version"] == str(version), "which tells the reader that it has met a stale replica"
    parked = asyncio.create_task(poll(plane, version + 1, epoch=epoch, wait="30s"))
    await plane.parked(1)
    await plane.apply("b", selector=ONE)
    await plane.parked(1)
    await plane.apply("c", selector=ONE)
    assert rules(await parked) == ["a", "b", "c"]
    assert rules(await poll(plane, 99)) == ["a", "b", "c"], "without an epoch the number proves nothing"


async def test_deleting_empties_the_view(plane: Plane) -> None:
    version = await plane.apply("a", selector=ONE)
    await poll(plane)
    parked = asyncio.create_task(poll(plane, version))
    await plane.parked(1)
    assert (await plane.client.delete("/v1/policies/a")).status_code == 200
    assert rules(await parked) == []


async def test_labels_choose_too(plane: Plane) -> None:
    version = await plane.apply("a", selector={"labels": {"track": "canary"}})
    assert rules(await poll(plane, labels="az=1,track=canary")) == ["a"]
    assert rules(await poll(plane, node="m", labels="track=stable")) == []
    stable = asyncio.create_task(poll(plane, version, node="m", labels="track=stable", wait="30s"))
    canary = asyncio.create_task(poll(plane, version, labels="az=1,track=canary", wait="30s"))
    await plane.parked(2)
    await plane.apply("a", selector={"labels": {"track": "canary"}}, mode="shadow")
    assert rules(await canary) == ["a"]
    await plane.parked(1)
    await plane.apply("b")
    assert rules(await stable) == ["b"]


async def test_a_client_that_goes_frees_its_place(plane: Plane) -> None:
    version = await plane.apply("a")
    await poll(plane)
    _, writer = await asyncio.open_connection(HOST, plane.port)
    head = "GET /v1/config/stream?once=true&wait=300s HTTP/1.1\r\nhost: hfi\r\nx-hfi-node: n\r\nx-hfi-cluster: one\r\n"
    writer.write(f"{head}last-event-id: {version}\r\n\r\n".encode())
    await plane.parked(1)
    writer.close()
    await writer.wait_closed()
    await plane.parked(0)
    assert (await plane.stream_metrics())["readers"]["once"] == 0


async def test_head_does_not_wait(plane: Plane) -> None:
    version = await plane.apply("a")
    answer = await plane.client.head("/v1/config/stream?once=true&wait=300s", headers={"last-event-id": str(version)})
    assert answer.status_code == 200
    assert answer.headers["x-hfi-version"] == str(version)
    assert answer.content == b""


async def test_five_hundred_parked_readers_wake_on_one_publish(plane: Plane) -> None:
    version = await plane.apply("a")
    await poll(plane)
    # Plain sockets: an HTTP client's pool of 500 connections would cost more than what is tried here.
    sockets = [await asyncio.open_connection(HOST, plane.port) for _ in range(500)]
    for number, (_, writer) in enumerate(sockets):
        asked = f"GET /v1/config/stream?once=true&wait=60s HTTP/1.1\r\nhost: hfi\r\nx-hfi-node: n{number}\r\n"
        writer.write(f"{asked}x-hfi-cluster: one\r\nlast-event-id: {version}\r\nconnection: close\r\n\r\n".encode())
    await plane.parked(500)
    newer = await plane.apply("b")
    answers = await asyncio.gather(*(reader.read() for reader, _ in sockets))
    assert all(f"\nid: {newer}\n".encode() in b"\n" + answer.partition(b"\r\n\r\n")[2] for answer in answers)
    for _, writer in sockets:
        writer.close()
    assert (await plane.stream_metrics())["views"] == 1


async def test_a_server_that_stops_answers_all_that_wait() -> None:
    async with running() as plane:
        version = await plane.apply("a")
        await poll(plane)
        polls = [asyncio.create_task(poll(plane, version, node=f"n{i}", wait="300s")) for i in range(20)]
        await plane.parked(20)
        async with asyncio.timeout(10):
            await plane.server.stop()
            answers = await asyncio.gather(*polls)
        assert {answer.text for answer in answers} == {NOTHING_NEW}


async def test_stopping_is_said_to_who_still_asks(plane: Plane) -> None:
    plane.services.stopping.set()

    async def refused() -> bool:
        answer = await plane.client.get("/v1/config/stream?once=true")
        return answer.status_code == 503 and answer.json()["reasons"] == ["this replica is stopping"]

    await eventually_async(refused)
    assert (await plane.client.get("/v1/health?ready")).status_code == 503
    assert (await plane.client.get("/v1/health")).status_code == 200


# -- before the store has been read -------------------------------------------------------------------------


async def test_readers_wait_for_the_first_snapshot() -> None:
    store = MemoryStore()
    await store.put("a", encode(Policy.model_validate(policy("a")), 1))
    async with running(store=store, follow=False) as plane:
        new, resumed = [asyncio.create_task(poll(plane, held, wait="30s")) for held in (None, 1)]
        await plane.parked(2)
        following = asyncio.create_task(plane.feed.run())
        assert rules(await new) == ["a"]
        await plane.parked(1)
        assert not resumed.done(), "it has what the first snapshot says"
        await plane.apply("b")
        assert rules(await resumed) == ["a", "b"]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_without_a_snapshot_there_is_nothing_to_vouch_for() -> None:
    async with running(follow=False) as plane:
        answer = await plane.client.get("/v1/config/stream?once=true&wait=10ms")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "urn:hfi:problem:not-ready"


# -- what the proxy registry shows --------------------------------------------------------------------------


async def proxy(plane: Plane, node: str = "n") -> dict[str, Any]:
    answer = await plane.client.get(f"/v1/proxies/{node}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_proxys_rules_are_followed_through_its_polls(plane: Plane) -> None:
    first = await plane.apply("a", selector=ONE)
    await poll(plane)
    status = await proxy(plane)
    assert (status["cluster"], status["connected"]) == ("one", True)
    assert status["rules"]["version"] is None, "what was sent has not been confirmed"
    assert not status["rules"]["upToDate"]

    parked = asyncio.create_task(poll(plane, first, epoch=await plane.store.epoch()))
    await plane.parked(1)
    rules_now = (await proxy(plane))["rules"]
    assert (rules_now["version"], rules_now["upToDate"], rules_now["polling"]) == (str(first), True, True)

    elsewhere = await plane.apply("b", selector=TWO)
    rules_now = (await proxy(plane))["rules"]
    assert (rules_now["version"], rules_now["upToDate"]) == (str(elsewhere), True), "and without a word of the proxy"

    second = await plane.apply("c", selector=ONE)
    await parked
    rules_now = (await proxy(plane))["rules"]
    assert (rules_now["version"], rules_now["upToDate"]) == (str(elsewhere), False), "sent is not confirmed"
    assert rules_now["polling"], "it is about to ask again"

    await poll(plane, second, wait="0s")
    rules_now = (await proxy(plane))["rules"]
    assert (rules_now["version"], rules_now["upToDate"]) == (str(second), True)
    assert rules_now["ageMs"] < 30_000

    page = (await plane.client.get("/v1/proxies")).json()
    assert (page["connected"], page["connectedUpToDate"], page["version"]) == (1, 1, str(second))


async def test_a_proxy_that_stays_away_is_shown_as_gone() -> None:
    async with running(settings=HttpSettings(poll_grace_seconds=0.01)) as plane:
        await poll(plane)

        async def gone() -> bool:
            status = await proxy(plane)
            return not status["connected"] and not status["rules"]["polling"]

        await eventually_async(gone)


async def test_only_polls_with_a_node_are_proxies(plane: Plane) -> None:
    await plane.client.get("/v1/config/stream?once=true&cluster=one")
    assert (await plane.client.get("/v1/proxies")).json()["items"] == []
