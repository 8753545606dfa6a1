"""``/v1/policies`` over TCP, with the real store and the real engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import yaml

from hfi_core.errors import StoreDenied, StoreUnavailable
from hfi_core.policy.documents import parse_documents
from hfi_core.store.memory import MemoryStore
from hfi_core.store.protocol import Entry
from hfi_sse.services import HttpSettings
from tests.support.policies import abort_rule, policy
from tests.unit.sse.plane import HOST, Plane, running

LIMIT = 1 << 20
JSON = {"content-type": "application/json"}


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        yield found


def dumps(document: Any) -> bytes:
    return json.dumps(document).encode()


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:hfi:problem:{slug}"
    assert body["status"] == status
    return body


async def test_create_update_read_delete(plane: Plane) -> None:
    client = plane.client
    created = await client.post("/v1/policies", json=policy("shop"))
    assert created.status_code == 201
    assert created.headers["location"] == "/v1/policies/shop"
    version = created.json()["metadata"]["version"]
    assert created.headers["etag"] == f'"{version}"'
    assert created.json()["status"]["appliedAtMs"] > 0

    updated = await client.post("/v1/policies", json=policy("shop", priority=7))
    assert updated.status_code == 200
    assert int(updated.json()["metadata"]["version"]) > int(version)

    read = await client.get("/v1/policies/shop")
    assert read.json() == updated.json()
    assert read.headers["etag"] == updated.headers["etag"]

    gone = await client.delete("/v1/policies/shop")
    assert gone.json()["name"] == "shop"
    assert int(gone.json()["version"]) > int(read.json()["metadata"]["version"])
    problem(await client.get("/v1/policies/shop"), 404, "policy-not-found")
    problem(await client.delete("/v1/policies/shop"), 404, "policy-not-found")


async def test_what_was_read_can_be_sent_back(plane: Plane) -> None:
    await plane.apply("shop")
    read = (await plane.client.get("/v1/policies/shop")).json()
    again = await plane.client.put("/v1/policies/shop", json=read)
    assert again.status_code == 200
    stale = problem(await plane.client.put("/v1/policies/shop", json=read), 409, "version-conflict")
    assert stale["expected"] == read["metadata"]["version"]
    assert stale["actual"] == again.json()["metadata"]["version"]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
        "text/yaml; charset=UTF-8",
        'Application/YAML;charset="utf-8"',
    ],
)
async def test_yaml_in(plane: Plane, content_type: str) -> None:
    body = "\ufeff" + yaml.safe_dump(policy("shop", labels={"team": "a"}))
    answer = await plane.client.post("/v1/policies", content=body.encode(), headers={"content-type": content_type})
    assert answer.status_code == 201, answer.text
    assert answer.headers["content-type"] == "application/json"


async def test_yaml_out(plane: Plane) -> None:
    await plane.apply("shop")
    read = await plane.client.get("/v1/policies/shop", headers={"accept": "application/yaml"})
    assert read.headers["content-type"] == "application/yaml"
    assert read.headers["vary"] == "accept"
    as_json = await plane.client.get("/v1/policies/shop")
    assert parse_documents(read.text) == [as_json.json()]
    posted = await plane.client.post("/v1/policies", content=read.content, headers={"content-type": "application/yaml"})
    assert posted.status_code == 200, posted.text


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_other_types_are_refused_with_help(plane: Plane, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await plane.client.post("/v1/policies", content=b"{}", headers=headers)
    assert "--data-binary" in problem(answer, 415, "media-type-unsupported")["detail"]


@pytest.mark.parametrize(
    ("content_type", "body", "line", "column"),
    [
        ("application/json", '{"a": 1,\n  b: 2}', 2, 3),
        ("application/yaml", "a: 1\nb: [\n", 3, 1),
        ("application/yaml", "a: 1\na: 2\n", 2, 1),
        ("application/yaml", "a: &x 1\nb: *x\n", 2, 4),
    ],
)
async def test_what_cannot_be_read_is_refused_at_its_place(
    plane: Plane, content_type: str, body: str, line: int, column: int
) -> None:
    answer = await plane.client.post("/v1/policies", content=body, headers={"content-type": content_type})
    found = problem(answer, 400, "document-unreadable")
    assert (found["line"], found["column"]) == (line, column), found


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("application/json", b"", "the body is empty"),
        ("application/yaml", b" \n", "the body is empty"),
        ("application/yaml", b"---\n# nothing\n", "holds no documents"),
        ("application/yaml", b"a: 1\n---\nb: 1\n", "holds 2 documents; send one in each request"),
        ("application/json", b'{"a": "\xff"}', "not UTF-8"),
        ("application/json", b"[" * 100_000, "nested too deeply"),
        ("application/json", b'{"kind": "a", "kind": "b"}', "the key 'kind' is there twice"),
        ("application/json", b"NaN", "NaN is not a JSON number"),
        ("application/json", b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        ("application/json", b'{"a": 1e999}', "too large for a number"),
        ("application/yaml", b"a: 1e999", "too large for a number"),
    ],
)
async def test_bodies_that_are_no_document(plane: Plane, content_type: str, body: bytes, says: str) -> None:
    answer = await plane.client.post("/v1/policies", content=body, headers={"content-type": content_type})
    assert says in problem(answer, 400, "document-unreadable")["detail"]


async def test_every_problem_at_once_each_at_its_place(plane: Plane) -> None:
    broken = {"name": "r", "match": {"path": {"regex": "("}}, "fault": {"abort": {"httpStatus": 99}}}
    answer = await plane.client.post("/v1/policies", json=policy("Shop", broken, priority="high"))
    found = problem(answer, 422, "policy-invalid")
    assert {error["pointer"] for error in found["errors"]} == {
        "/metadata/name",
        "/spec/priority",
        "/spec/rules/0/match/path/regex",
        "/spec/rules/0/fault/abort/httpStatus",
    }
    assert all(error["detail"] for error in found["errors"])
    assert (await plane.client.get("/v1/policies")).json()["items"] == []


@pytest.mark.parametrize("text", ["\ud800", "a\ud800b"])
async def test_half_a_character_is_refused(plane: Plane, text: str) -> None:
    document = policy("shop")
    document["metadata"]["annotations"] = {"a": text}
    answer = await plane.client.post("/v1/policies", content=dumps(document), headers=JSON)
    assert answer.status_code in (400, 422), answer.text


async def test_put_agrees_with_its_address(plane: Plane) -> None:
    found = problem(await plane.client.put("/v1/policies/a", json=policy("b")), 422, "policy-invalid")
    assert found["errors"] == [{"pointer": "/metadata/name", "detail": "must be 'a', as in the address"}]
    created = await plane.client.put("/v1/policies/a", json=policy("a"))
    assert created.status_code == 201
    assert created.headers["location"] == "/v1/policies/a"
    for document in ([], {"metadata": []}, {"metadata": {"name": 5}}):
        problem(await plane.client.put("/v1/policies/a", json=document), 422, "policy-invalid")


# -- conditions ---------------------------------------------------------------------------------------------


async def test_if_match(plane: Plane) -> None:
    client = plane.client
    version = await plane.apply("p")
    tag = {"if-match": f'"{version}"'}
    assert (await client.put("/v1/policies/p", json=policy("p"), headers=tag)).status_code == 200
    problem(await client.put("/v1/policies/p", json=policy("p"), headers=tag), 409, "version-conflict")
    problem(await client.delete("/v1/policies/p", headers=tag), 409, "version-conflict")
    assert (await client.put("/v1/policies/p", json=policy("p"), headers={"if-match": "*"})).status_code == 200
    found = problem(
        await client.put("/v1/policies/q", json=policy("q"), headers={"if-match": "*"}), 409, "version-conflict"
    )
    assert "there is no policy named 'q'" in found["detail"]
    current = (await client.get("/v1/policies/p")).headers["etag"]
    assert (await client.delete("/v1/policies/p", headers={"if-match": current})).status_code == 200
    problem(
        await client.put("/v1/policies/p", json=policy("p"), headers={"if-match": current}), 409, "version-conflict"
    )


async def test_if_none_match_creates_and_never_updates(plane: Plane) -> None:
    new = {"if-none-match": "*"}
    assert (await plane.client.put("/v1/policies/p", json=policy("p"), headers=new)).status_code == 201
    problem(await plane.client.post("/v1/policies", json=policy("p"), headers=new), 409, "version-conflict")
    problem(await plane.client.delete("/v1/policies/p", headers=new), 409, "version-conflict")


async def test_the_documents_own_version_and_if_match_must_agree(plane: Plane) -> None:
    version = await plane.apply("p")
    document = policy("p")
    document["metadata"]["version"] = str(version)
    agrees = await plane.client.put("/v1/policies/p", json=document, headers={"if-match": f'"{version}"'})
    assert agrees.status_code == 200
    other = await plane.client.put("/v1/policies/p", json=document, headers={"if-match": f'"{version + 1}"'})
    problem(other, 400, "parameter-invalid")
    stale = await plane.client.put("/v1/policies/p", json=document, headers={"if-match": "*"})
    problem(stale, 409, "version-conflict")


async def test_what_is_known_is_not_sent_again(plane: Plane) -> None:
    version = await plane.apply("p")
    same = await plane.client.get("/v1/policies/p", headers={"if-none-match": f'"{version}"'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", f'"{version}"')
    assert (await plane.client.get("/v1/policies/p", headers={"if-none-match": '"1234"'})).status_code == 200


async def test_a_dry_run_does_everything_but_the_write(plane: Plane) -> None:
    client, dry = plane.client, {"dryRun": "true"}
    tried = await client.post("/v1/policies", json=policy("p"), params=dry)
    assert tried.status_code == 200
    assert tried.json()["metadata"]["version"] == "0"
    assert "etag" not in tried.headers
    problem(await client.post("/v1/policies", json=policy("P"), params=dry), 422, "policy-invalid")
    assert (await client.get("/v1/policies")).json()["items"] == []
    version = await plane.apply("p")
    tried = await client.put("/v1/policies/p", json=policy("p", priority=3), params=dry)
    assert tried.json()["spec"]["priority"] == 3
    assert (await client.delete("/v1/policies/p", params=dry)).json() == {"name": "p", "version": str(version)}
    problem(await client.delete("/v1/policies/p", params=dry, headers={"if-match": '"99"'}), 409, "version-conflict")
    problem(await client.delete("/v1/policies/q", params=dry), 404, "policy-not-found")
    assert (await client.get("/v1/policies/p")).json()["metadata"]["version"] == str(version)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/policies?dryrun=true"),
        ("POST", "/v1/policies?dryRun=yes"),
        ("DELETE", "/v1/policies/p?dry_run=true"),
        ("GET", "/v1/policies?label=a"),
        ("GET", "/v1/policies?limit=0"),
        ("GET", "/v1/policies?limit=1001"),
        ("GET", "/v1/policies?page=2"),
        ("GET", "/v1/policies/p?watch"),
    ],
)
async def test_a_misspelt_parameter_is_an_error(plane: Plane, method: str, path: str) -> None:
    await plane.apply("p")
    answer = await plane.client.request(method, path, json=policy("p"))
    problem(answer, 400, "parameter-invalid")


# -- lists --------------------------------------------------------------------------------------------------


async def test_pages_and_labels(plane: Plane) -> None:
    for name in ("c", "a", "d", "b"):
        labels = {"team": "x" if name in "ab" else "y", "tier": name}
        assert (await plane.client.post("/v1/policies", json=policy(name, labels=labels))).status_code == 201

    async def names(query: str) -> tuple[list[str], str | None]:
        page = (await plane.client.get(f"/v1/policies?{query}")).json()
        return [item["metadata"]["name"] for item in page["items"]], page["next"]

    assert await names("") == (["a", "b", "c", "d"], None)
    assert await names("limit=3") == (["a", "b", "c"], "c")
    assert await names("limit=3&after=c") == (["d"], None)
    assert await names("limit=4") == (["a", "b", "c", "d"], None)
    assert await names("label=team=y") == (["c", "d"], None)
    assert await names("label=team=y&label=tier=d") == (["d"], None)
    assert await names("label=team=z") == ([], None)
    assert (await plane.client.get("/v1/policies")).json()["version"] == "4"


# -- bodies that are too long -------------------------------------------------------------------------------


async def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(plane: Plane) -> None:
    exact = b" " * (LIMIT - 2) + b"{}"
    problem(await plane.client.post("/v1/policies", content=exact, headers=JSON), 422, "policy-invalid")
    longer = await plane.client.post("/v1/policies", content=b" " + exact, headers=JSON)
    assert "1048576 bytes" in problem(longer, 413, "body-too-large")["detail"]


async def test_an_announced_body_is_refused_before_it_is_sent(plane: Plane) -> None:
    reader, writer = await asyncio.open_connection(HOST, plane.port)
    writer.write(
        b"POST /v1/policies HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1048577\r\n\r\n"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_chunked_body_is_counted_while_it_comes(plane: Plane) -> None:
    async def long() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 65_536

    problem(await plane.client.post("/v1/policies", content=long(), headers=JSON), 413, "body-too-large")
    assert (await plane.client.get("/v1/health")).status_code == 200


async def test_a_client_that_goes_in_mid_body_does_no_harm(plane: Plane) -> None:
    _, writer = await asyncio.open_connection(HOST, plane.port)
    writer.write(
        b"POST /v1/policies HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await plane.client.get("/v1/health")).status_code == 200


# -- troubles -----------------------------------------------------------------------------------------------


class Failing(MemoryStore):
    """A store that fails as it is told."""

    trouble: Exception | None = None

    async def get(self, key: str) -> Entry | None:
        if self.trouble is not None:
            raise self.trouble
        return await super().get(key)


@pytest.mark.parametrize(
    ("trouble", "status", "slug"),
    [
        (StoreUnavailable("no etcd at 127.0.0.1:1"), 503, "store-unavailable"),
        (StoreDenied("user unknown"), 502, "store-denied"),
    ],
)
async def test_the_stores_troubles_are_said_and_reads_go_on(trouble: Exception, status: int, slug: str) -> None:
    store = Failing()
    async with running(store=store) as plane:
        await plane.apply("p")
        store.trouble = trouble
        answer = await plane.client.post("/v1/policies", json=policy("p"))
        assert problem(answer, status, slug)["detail"] == str(trouble)
        assert ("retry-after" in answer.headers) is (status == 503)
        assert (await plane.client.get("/v1/policies/p")).status_code == 200


async def test_a_mistake_of_ours_tells_nothing_of_our_insides(caplog: pytest.LogCaptureFixture) -> None:
    store = Failing()
    async with running(store=store) as plane:
        store.trouble = KeyError("secret")
        found = problem(await plane.client.post("/v1/policies", json=policy("p")), 500, "internal")
        assert "secret" not in str(found)
        assert any(record.exc_info and "secret" in str(record.exc_info[1]) for record in caplog.records), "it is logged"
        text = (await plane.client.get("/v1/metrics?format=prometheus")).text
        assert 'hfi_http_requests_total{method="POST",route="/v1/policies",status="5xx"} 1.0' in text


async def test_before_the_store_has_been_read_nothing_is_answered() -> None:
    async with running(follow=False) as plane:
        found = problem(await plane.client.get("/v1/policies"), 503, "store-unavailable")
        assert "not been read yet" in found["detail"]


async def test_what_starlette_refuses_is_a_problem_too(plane: Plane) -> None:
    missing = await plane.client.get("/v2/policies")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["type"] == "about:blank"
    refused = await plane.client.patch("/v1/policies/p")
    assert refused.status_code == 405
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE"}
    assert refused.json()["title"] == "Method Not Allowed"


async def test_the_largest_policy_fits_into_the_limit(plane: Plane) -> None:
    rules = [abort_rule(f"r{i}") for i in range(256)]
    assert len(dumps(policy("p", *rules))) < HttpSettings().max_body_bytes
    assert await plane.apply("p", *rules) > 0
