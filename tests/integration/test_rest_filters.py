"""The catalogue of filter modules over TCP."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from hfi_core.filters.manifest import MAX_MODULE_BYTES
from tests.support.modules import WHOLE, module, padded
from tests.unit.sse.plane import Plane, running

WASM = {"content-type": "application/wasm"}


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        yield found


async def put(plane: Plane, version: str, code: bytes, **params: str) -> httpx.Response:
    return await plane.client.put(f"/v1/filters/{version}", content=code, headers=WASM, params=params)


async def versions(plane: Plane) -> list[str]:
    return [item["version"] for item in (await plane.client.get("/v1/filters")).json()["items"]]


async def test_a_module_goes_in_and_comes_out_as_it_was(plane: Plane) -> None:
    code = padded(module(), 2_000_000)
    pushed = await put(plane, "1.4.0", code, note="faster")
    assert (pushed.status_code, pushed.headers["location"]) == (201, "/v1/filters/1.4.0")
    said: dict[str, Any] = pushed.json()
    assert said["digest"] == hashlib.sha256(code).hexdigest()
    assert (said["version"], said["size"], said["abi"], said["note"]) == ("1.4.0", 2_000_000, "0.2.1", "faster")
    # The writer sees it at once.
    assert (await plane.client.get("/v1/filters/1.4.0")).json() == said
    assert (await plane.client.get("/v1/filters")).json()["items"] == [said]
    bytes_ = await plane.client.get("/v1/filters/1.4.0", headers={"accept": "application/wasm"})
    assert bytes_.content == code
    assert bytes_.headers["content-type"] == "application/wasm"
    again = await put(plane, "1.4.0", code, note="whatever")
    assert (again.status_code, again.json()) == (200, said)


async def test_what_is_no_module_is_refused_with_every_reason(plane: Plane) -> None:
    refused = await put(plane, "1.4.0", module(parts=WHOLE.replace("malloc", "x").replace("0_2_1", "0_1_0")))
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:hfi:problem:module-refused"
    assert len(refused.json()["reasons"]) == 2
    assert await versions(plane) == []


async def test_each_refusal_has_its_status(plane: Plane) -> None:
    assert (await put(plane, "1.4.0", module())).status_code == 201
    assert (await put(plane, "1.4.0", module("another"))).status_code == 409
    assert (await put(plane, "1.5.0", module())).status_code == 409
    assert (await put(plane, "rollout", module("x"))).status_code == 422
    assert (await put(plane, "1.6.0", module("x"), nope="1")).status_code == 400
    assert (await put(plane, "1.6.0", bytes(MAX_MODULE_BYTES + 1))).status_code == 413
    assert (await plane.client.put("/v1/filters/1.6.0", json={})).status_code == 415
    assert (await plane.client.get("/v1/filters/1.6.0")).status_code == 404
    assert await versions(plane) == ["1.4.0"]


async def test_a_replica_that_has_read_nothing_says_so() -> None:
    async with running(follow=False) as plane:
        assert (await plane.client.get("/v1/filters")).status_code == 503


async def test_a_module_whose_bytes_the_store_has_lost_is_not_given_out(plane: Plane) -> None:
    await put(plane, "1.4.0", module())
    pieces = plane.store.beside("filter-pieces")
    [entry] = (await pieces.list()).entries
    await pieces.put(entry.key, b"something else")
    lost = await plane.client.get("/v1/filters/1.4.0", headers={"accept": "application/wasm"})
    assert lost.status_code == 500
    assert "has digest" in lost.json()["detail"]


async def test_a_module_that_nobody_runs_is_deleted_and_its_version_is_free(plane: Plane) -> None:
    said = (await put(plane, "1.4.0", module())).json()
    gone = await plane.client.delete("/v1/filters/1.4.0")
    assert (gone.status_code, gone.json()) == (200, said)
    # Who deletes sees it at once.
    assert (await plane.client.get("/v1/filters/1.4.0")).status_code == 404
    assert await versions(plane) == []
    again = await plane.client.delete("/v1/filters/1.4.0")
    assert (again.status_code, again.json()["type"]) == (404, "urn:hfi:problem:module-not-found")
    assert (await put(plane, "1.4.0", module("another"))).status_code == 201


async def test_what_proxies_run_or_are_to_run_is_not_deleted(plane: Plane) -> None:
    await put(plane, "1", module("1"))
    await put(plane, "2", module("2"))
    await plane.services.rollouts.begin(plane.services.filters.required().modules["1"])
    assert (await plane.client.post("/v1/filters/rollout", json={"version": "2", "share": 10})).is_success
    for version, role in (("1", "the stable one"), ("2", "the candidate of the rollout that is running at 10%")):
        refused = await plane.client.delete(f"/v1/filters/{version}")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:hfi:problem:module-in-use")
        assert role in refused.json()["detail"]
    assert await versions(plane) == ["1", "2"] or await versions(plane) == ["2", "1"]
    assert (await plane.client.post("/v1/filters/rollout/rollback", json={})).is_success
    assert (await plane.client.delete("/v1/filters/2")).status_code == 200
    assert await versions(plane) == ["1"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-match": '"%s"'}, 200),
        ({"if-match": '"another", "%s"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"another"'}, 409),
        ({"if-match": 'W/"%s"'}, 409),
        ({"if-match": '"7"'}, 409),
        ({"if-match": ""}, 409),
        ({"if-match": "%s"}, 400),
        ({"if-none-match": "*"}, 400),
    ],
)
async def test_a_delete_can_ask_for_one_digest(plane: Plane, headers: dict[str, str], status: int) -> None:
    digest = (await put(plane, "1.4.0", module())).json()["digest"]
    assert (await plane.client.get("/v1/filters/1.4.0")).headers["etag"] == f'"{digest}"'
    given = {name: value.replace("%s", digest) for name, value in headers.items()}
    answered = await plane.client.delete("/v1/filters/1.4.0", headers=given)
    assert answered.status_code == status
    assert await versions(plane) == ([] if status == 200 else ["1.4.0"])


async def test_a_delete_takes_no_parameters(plane: Plane) -> None:
    await put(plane, "1.4.0", module())
    assert (await plane.client.delete("/v1/filters/1.4.0?dryRun=true")).status_code == 400
    assert await versions(plane) == ["1.4.0"]
