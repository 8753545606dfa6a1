"""The rollout of the filter module over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hfi_core.modules.inspection import Inspection
from hfi_core.proxies import ResourceStatus
from hfi_core.snapshot import NodeIdentity
from tests.support.modules import module
from tests.unit.sse.plane import Plane, running

KNOWN = Inspection("0.2.1")
PATH = "/v1/filters/rollout"


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        one = await found.services.modules.push("1", module("one"), known_as=KNOWN)
        await found.services.modules.push("2", module("two"), known_as=KNOWN)
        await found.services.rollouts.begin(one.manifest)
        await found.services.filters.until(lambda state: state.document is not None)
        yield found


async def post(plane: Plane, action: str = "", **body: Any) -> dict[str, Any]:
    answer = await plane.client.post(PATH + action, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_from_its_start_to_its_end(plane: Plane) -> None:
    before = (await plane.client.get(PATH)).json()
    assert (before["stable"]["version"], before["rollout"]) == ("1", None)
    started = await post(plane, version="2", share=10, watchSeconds=30, maxErrors=5)
    assert started["rollout"]["candidate"]["generation"] == 2
    # The writer sees it at once.
    assert (await plane.client.get(PATH)).json() == started
    wanted = {"state": "running", "share": 10, "selector": None, "cause": None, "watchSeconds": 30, "maxErrors": 5}
    assert wanted.items() <= started["rollout"].items()
    items = (await plane.client.get("/v1/filters")).json()["items"]
    assert {item["version"]: item["role"] for item in items} == {"1": "stable", "2": "candidate"}
    assert (await post(plane, "/advance"))["rollout"]["share"] == 25
    assert (await post(plane, "/pause"))["rollout"]["state"] == "paused"
    assert (await plane.client.post(f"{PATH}/advance", json={})).status_code == 409
    assert (await post(plane, "/advance", share=100, resume=True))["rollout"]["share"] == 100
    early = await plane.client.post(f"{PATH}/advance", json={})
    assert (early.status_code, "are watched for 30 s more" in early.json()["detail"]) == (409, True)
    done = await post(plane, "/advance", unwatched=True)
    assert (done["stable"]["version"], done["stable"]["generation"], done["rollout"]["state"]) == ("2", 2, "completed")
    items = (await plane.client.get("/v1/filters")).json()["items"]
    assert {item["version"]: item["role"] for item in items} == {"1": None, "2": "stable"}
    assert [event["kind"] for event in done["events"]] == [
        *("stable", "started", "advanced", "paused", "advanced", "completed")
    ]


async def test_back_by_hand_with_a_reason(plane: Plane) -> None:
    await post(plane, version="2", selector={"labels": {"track": "canary"}})
    back = await post(plane, "/rollback", reason="too slow")
    assert (back["rollout"]["state"], back["rollout"]["cause"], back["rollout"]["reason"]) == (
        *("rolled_back", "operator", "too slow"),
    )
    assert back["events"][-1]["detail"] == "2 to 1: too slow"
    assert back["rollout"]["selector"] == {"labels": {"track": "canary"}}


async def test_how_far_it_has_come_among_the_proxies(plane: Plane) -> None:
    proxies = plane.services.proxies
    started = await post(plane, version="2", selector={"cluster": "canary"})
    for node, cluster, state in (("a", "canary", "acked"), ("b", "canary", "nacked"), ("c", "canary", "sent")):
        digest = started["rollout"]["candidate"]["digest"]
        proxies.stream_opened(NodeIdentity.of(node, cluster))
        proxies.resource(node, ResourceStatus("ecds", "hfi", digest, state))  # type: ignore[arg-type]
    proxies.stream_opened(NodeIdentity.of("d", "other"))
    assert (await plane.client.get(PATH)).json()["nodes"] == {
        "candidate": {"applied": 1, "waiting": 1, "rejected": 1},
        "stable": {"applied": 0, "waiting": 1, "rejected": 0},
    }


async def test_what_needs_no_body_needs_none(plane: Plane) -> None:
    """As ``curl -X POST`` asks: without a body, its length or its type."""
    await post(plane, version="2", share=1)
    for action, state in (("/advance", "running"), ("/pause", "paused"), ("/rollback", "rolled_back")):
        bare = plane.client.build_request("POST", PATH + action)
        del bare.headers["content-length"]
        answer = await plane.client.send(bare)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rollout"]["state"] == state
    # A start says at least of what.
    bare = plane.client.build_request("POST", PATH)
    assert (await plane.client.send(bare)).json()["errors"] == [{"pointer": "/version", "detail": "is required"}]
    unnamed = await plane.client.post(f"{PATH}/advance", content=b"{}")
    assert (unnamed.status_code, unnamed.json()["detail"].split(";")[0]) == (415, "no content type is given")

    # Chunked, so that no length is announced.
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"reason": 5}'

    chunked = await plane.client.post(
        f"{PATH}/rollback", content=chunks(), headers={"content-type": "application/json"}
    )
    assert chunked.json()["errors"] == [{"pointer": "/reason", "detail": "must be a string"}]


async def test_each_refusal_has_its_status(plane: Plane) -> None:
    async def status(action: str = "", **body: Any) -> int:
        return (await plane.client.post(PATH + action, json=body)).status_code

    assert await status(version="3", share=1) == 404
    assert await status(version="1", share=1) == 409
    assert await status(version="2") == 409
    assert await status("/rollback") == 409
    assert await status(version="2", share=0) == 422
    assert await status(version="2", share="10") == 422
    assert await status(version="2", percent=10) == 422
    assert await status(version="2", selector={"label": {}}) == 422
    assert await status("/pause", nope=1) == 422
    wrong = await plane.client.post(f"{PATH}/advance", json={"share": 0})
    assert wrong.json()["errors"] == [{"pointer": "/share", "detail": "must be greater than 0"}]
    await post(plane, version="2", share=1)
    again = await plane.client.post(PATH, json={"version": "2", "share": 1})
    assert (again.status_code, again.json()["type"]) == (409, "urn:hfi:problem:rollout-conflict")


async def test_before_anything_is_stable_there_is_no_status() -> None:
    async with running() as plane:
        await plane.services.filters.reached(0)
        assert (await plane.client.get(PATH)).status_code == 503
        assert (await plane.client.post(f"{PATH}/pause", json={})).status_code == 409
    async with running(follow=False) as plane:
        assert (await plane.client.get(PATH)).status_code == 503


async def test_a_document_that_cannot_be_read_is_the_stores_fault(plane: Plane) -> None:
    written = await plane.store.beside("filter").put("rollout", b"{}")
    await plane.services.filters.reached(written.version)
    status = await plane.client.get(PATH)
    why = "/stable: is required; /generations: is required"
    assert (status.status_code, status.json()["reasons"]) == (503, [f"the rollout document cannot be read: {why}"])
    paused = await plane.client.post(f"{PATH}/pause", json={})
    assert paused.status_code == 502
    assert paused.json()["detail"] == f"the rollout document in the store cannot be read: {why}"
