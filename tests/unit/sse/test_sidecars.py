from __future__ import annotations

from typing import Any

from tests.unit.sidecars.test_document import sidecar
from tests.unit.sse.plane import Plane
from tests.unit.sse.test_openapi import errors

PATH = "/v1/sidecars"


async def post(plane: Plane, document: Any, query: str = "") -> Any:
    return await plane.client.post(PATH + query, json=document)


async def test_the_life_of_a_document(plane: Plane) -> None:
    created = await post(plane, sidecar())
    assert (created.status_code, created.headers["location"]) == (201, f"{PATH}/checkout")
    assert errors("SidecarDocument", created.json()) == []
    got = await plane.client.get(f"{PATH}/checkout")
    assert (got.json(), got.headers["etag"]) == (created.json(), created.headers["etag"])
    updated = await post(plane, sidecar(upstream="127.0.0.1:9001"))
    assert (updated.status_code, updated.json()["spec"]["upstream"]) == (200, ["127.0.0.1:9001"])
    await post(plane, sidecar("billing"))
    listed = (await plane.client.get(PATH)).json()["items"]
    assert [one["metadata"]["name"] for one in listed] == ["billing", "checkout"]
    gone = (await plane.client.delete(f"{PATH}/checkout")).json()
    assert (gone["name"], int(gone["version"]) > int(updated.json()["metadata"]["version"])) == ("checkout", True)
    missing = await plane.client.get(f"{PATH}/checkout")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:hfi:problem:sidecar-not-found")
    assert (await plane.client.delete(f"{PATH}/checkout")).status_code == 404


async def test_one_of_listen_and_upstream_may_be_left_to_the_node(plane: Plane) -> None:
    for left_out in ("listen", "upstream"):
        document = sidecar()
        del document["spec"][left_out]
        stored = await post(plane, document)
        assert (stored.status_code, left_out in stored.json()["spec"]) == (201 if left_out == "listen" else 200, False)
        assert errors("SidecarDocument", document) == errors("SidecarDocument", stored.json()) == []
    neither = {**sidecar(), "spec": {"bandwidth": False}}
    refused = await post(plane, neither)
    assert [problem["pointer"] for problem in refused.json()["errors"]] == ["/spec"]
    assert errors("SidecarDocument", neither) != []


async def test_a_version_in_the_document_is_a_lock(plane: Plane) -> None:
    first = (await post(plane, sidecar())).json()
    assert (await post(plane, first)).status_code == 200
    stale = await post(plane, first)
    assert (stale.status_code, stale.json()["type"]) == (409, "urn:hfi:problem:version-conflict")
    assert stale.json()["expected"] == first["metadata"]["version"]


async def test_a_dry_run_writes_nothing(plane: Plane) -> None:
    assert (await post(plane, sidecar(), "?dryRun=true")).status_code == 200
    assert (await plane.client.get(PATH)).json() == {"items": []}


async def test_what_is_wrong_is_said(plane: Plane) -> None:
    refused = await post(plane, sidecar(listen="localhost:1"))
    assert refused.status_code == 422
    assert [problem["pointer"] for problem in refused.json()["errors"]] == ["/spec/listen"]
    assert (await plane.client.get(f"{PATH}?limit=1")).status_code == 400


async def test_no_policy_sees_a_document(plane: Plane) -> None:
    await post(plane, sidecar())
    policies = (await plane.client.get("/v1/policies")).json()
    assert policies["items"] == []
    assert plane.feed.current is not None
    assert not plane.feed.current.broken
