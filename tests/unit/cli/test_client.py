from __future__ import annotations

import json
import random
from pathlib import Path

import httpx
import pytest

from hfi_cli import stream as stream_module
from hfi_cli.client import HfiClient
from hfi_cli.errors import NotReachable, Refused
from hfi_cli.tls import ClientTls
from hfi_core.errors import Problem, SettingsInvalid
from tests.unit.cli.conftest import FakePlane, proxies, proxy, refusal, stored


def test_apply_says_whether_it_created(plane: FakePlane, client: HfiClient) -> None:
    created, updated = httpx.Response(201, json=stored("p", 1)), httpx.Response(200, json=stored("p", 2))
    plane.on("POST", "/v1/policies", created, updated)
    assert client.apply({"a": 1}) == {"policy": stored("p", 1), "created": True}
    assert client.apply({"a": 1}, dry_run=True) == {"policy": stored("p", 2), "created": False}
    assert [dict(request.url.params) for request in plane.requests] == [{}, {"dryRun": "true"}]
    assert plane.requests[0].headers["content-type"] == "application/json"


def test_apply_can_carry_any_text_that_yaml_can_write(plane: FakePlane, client: HfiClient) -> None:
    plane.on("POST", "/v1/policies", httpx.Response(200, json=stored("p")))
    client.apply({"body": "ü \ud800"})
    assert json.loads(plane.requests[0].content) == {"body": "ü \ud800"}


def test_list_asks_for_pages_as_they_are_needed(plane: FakePlane, client: HfiClient) -> None:
    first = httpx.Response(200, json={"items": [stored("a"), stored("b")], "next": "b", "version": "7"})
    second = httpx.Response(200, json={"items": [stored("c")], "next": None, "version": "7"})
    plane.on("GET", "/v1/policies", first, second)
    found = client.list({"team": "x", "tier": "1"})
    assert next(found)["metadata"]["name"] == "a"
    assert len(plane.requests) == 1
    assert [policy["metadata"]["name"] for policy in found] == ["b", "c"]
    assert plane.requests[0].url.params.get_list("label") == ["team=x", "tier=1"]
    assert plane.requests[1].url.params["after"] == "b"


def test_names_are_quoted(plane: FakePlane, client: HfiClient) -> None:
    plane.on("GET", "/v1/policies/a/b?c", httpx.Response(200, json=stored("p")))
    client.get("a/b?c")
    assert plane.requests[0].url.raw_path == b"/v1/policies/a%2Fb%3Fc"
    with pytest.raises(SettingsInvalid):
        client.get("")


def test_delete_answers_the_version_and_may_expect_one(plane: FakePlane, client: HfiClient) -> None:
    plane.on("DELETE", "/v1/policies/p", httpx.Response(200, json={"name": "p", "version": "9"}))
    assert client.delete("p") == "9"
    assert client.delete("p", expected="7", dry_run=True) == "9"
    assert "if-match" not in plane.requests[0].headers
    assert plane.requests[1].headers["if-match"] == '"7"'
    assert plane.requests[1].url.params["dryRun"] == "true"


def test_explain_sends_only_what_was_given(plane: FakePlane, client: HfiClient) -> None:
    answer = {"decision": None, "steps": [], "none_probability": 1.0, "version": "7", "rules": 0}
    plane.on("POST", "/v1/explain", httpx.Response(200, json=answer))
    assert client.explain("/a") == answer
    client.explain("/a", "POST", [("x", "1"), ("x", "2")], status=503, cluster="c", labels={}, policy={"p": 1})
    assert [json.loads(request.content) for request in plane.requests] == [
        {"path": "/a", "method": "GET", "headers": []},
        {
            "path": "/a",
            "method": "POST",
            "headers": [["x", "1"], ["x", "2"]],
            "status": 503,
            "cluster": "c",
            "labels": {},
            "policy": {"p": 1},
        },
    ]


def test_proxies_are_of_all_pages(plane: FakePlane, client: HfiClient) -> None:
    plane.on("GET", "/v1/proxies", proxies(proxy("a", 7), after="a"), proxies(proxy("b", 7), version=8))
    found = client.proxies()
    assert [item["node"] for item in found["items"]] == ["a", "b"]
    assert found["version"] == "8"


def test_health_and_metrics(plane: FakePlane, client: HfiClient) -> None:
    plane.on("GET", "/v1/health", httpx.Response(200, json={"ready": True}), refusal(503, "not-ready", "Not ready"))
    plane.on("GET", "/v1/metrics", httpx.Response(200, json={"total_requests": 3}))
    assert client.health()["ready"] is True
    with pytest.raises(Refused) as refused:
        client.health(ready=True)
    assert (refused.value.status, refused.value.kind) == (503, "not-ready")
    assert client.metrics()["total_requests"] == 3


def test_a_refusal_carries_every_problem(plane: FakePlane, client: HfiClient) -> None:
    problems = [{"pointer": "/spec", "detail": "is required"}, {"pointer": "", "detail": "must be an object"}]
    plane.on("POST", "/v1/policies", refusal(422, "policy-invalid", "Not valid", "2 problems", errors=[*problems, "?"]))
    with pytest.raises(Refused, match="Not valid: 2 problems") as refused:
        client.apply({})
    assert refused.value.problems == (Problem("/spec", "is required"), Problem("", "must be an object"))
    assert refused.value.members["status"] == 422


def test_a_problem_of_somebody_elses_is_shown_as_far_as_it_goes(plane: FakePlane, client: HfiClient) -> None:
    answer = httpx.Response(405, json={"status": 405}, headers={"content-type": "application/problem+json"})
    plane.on("GET", "/v1/metrics", answer)
    with pytest.raises(Refused, match=r"^HTTP 405$") as refused:
        client.metrics()
    assert refused.value.kind == "about:blank"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>", headers={"content-type": "text/html"}),
        httpx.Response(502, text="Bad Gateway"),
        httpx.Response(302, headers={"location": "/login"}),
        httpx.Response(200, text="{", headers={"content-type": "application/json"}),
        httpx.ConnectError("Connection refused"),
        httpx.ReadTimeout(""),
    ],
)
def test_what_is_no_hfi_is_not_reachable(
    plane: FakePlane, client: HfiClient, answer: httpx.Response | Exception
) -> None:
    plane.on("GET", "/v1/metrics", answer)
    with pytest.raises(NotReachable, match=r"http://hfi\.test"):
        client.metrics()


@pytest.mark.parametrize("server", ["127.0.0.1:8080", "ftp://h", "http://", "http://h:0", "http://h:x", "", "http://["])
def test_a_server_is_an_http_address(server: str) -> None:
    with pytest.raises(SettingsInvalid, match="not an HTTP address"):
        HfiClient(server)


def test_the_environments_proxy_is_not_asked_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    kept: list[bool] = []
    real = httpx.Client

    class Client(real):  # type: ignore[misc, valid-type]
        def __init__(self, **options: object) -> None:
            kept.append(bool(options["trust_env"]))
            super().__init__(**options)

    monkeypatch.setattr(httpx, "Client", Client)
    for server in ("http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost", "http://hfi.test/"):
        with HfiClient(server) as made:
            assert not made.server.endswith("/")
    assert kept == [False, False, False, True]


# -- the stream ---------------------------------------------------------------------------------------------


def event(version: int, *rules: str) -> str:
    data = {"version": str(version), "epoch": "e", "server_time_ms": 5, "rules": [{"name": rule} for rule in rules]}
    return f"id: {version}\nevent: update\ndata: {json.dumps(data)}\n\n"


def events(*parts: str) -> httpx.Response:
    return httpx.Response(200, text="".join(parts), headers={"content-type": "text/event-stream; charset=utf-8"})


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before each new connection, which are not made."""
    pauses: list[float] = []
    monkeypatch.setattr(stream_module.time, "sleep", pauses.append)
    return pauses


def test_the_stream_goes_on_where_it_was(plane: FakePlane, client: HfiClient, hurried: list[float]) -> None:
    told: list[NotReachable] = []
    plane.on(
        "GET",
        "/v1/config/stream",
        events(": heartbeat\n\n", event(1, "a"), "event: other\ndata: x\n\n", event(2, "a", "b")),
        httpx.ConnectError("refused"),
        refusal(503, "not-ready", "Stopping"),
        events(event(5)),
    )
    stream = client.stream(cluster="c", labels={"b": "2", "a": "1"}, lost=told.append)
    updates = [next(stream) for _ in range(3)]
    stream.close()  # type: ignore[attr-defined]
    assert [(update.version, len(update.rules)) for update in updates] == [("1", 1), ("2", 2), ("5", 0)]
    assert [request.headers.get("last-event-id") for request in plane.requests] == [None, "2", "2", "2"]
    assert plane.requests[-1].headers["x-hfi-epoch"] == "e"
    assert plane.requests[-1].headers["x-hfi-labels"] == "a=1,b=2"
    assert plane.requests[-1].headers["x-hfi-cluster"] == "c"
    assert [str(error) for error in told] == [
        "http://hfi.test has ended the stream",
        "no HFI server can be reached at http://hfi.test: refused",
        "Stopping",
    ]
    assert len(hurried) == 3


def test_pauses_grow_to_a_bound_and_shrink_after_an_event(
    plane: FakePlane, client: HfiClient, hurried: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    plane.on("GET", "/v1/config/stream", events(event(1)), *[events()] * 7, *[events(event(n)) for n in (2, 3)])
    stream = client.stream()
    assert [next(stream).version for _ in range(3)] == ["1", "2", "3"]
    assert hurried == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.ConnectError("refused"), NotReachable),
        (refusal(503, "not-ready", "Not yet"), Refused),
        (refusal(400, "parameter-invalid", "No"), Refused),
        (httpx.Response(200, json={}), NotReachable),
        (events("event: update\ndata: {}\n\n"), NotReachable),
        (events(": heartbeat\n\n"), NotReachable),
    ],
)
def test_a_stream_that_never_was_is_an_error(
    plane: FakePlane, client: HfiClient, answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    plane.on("GET", "/v1/config/stream", answer)
    with pytest.raises(error):
        next(client.stream())


def test_a_refusal_that_will_not_pass_ends_the_stream(
    plane: FakePlane, client: HfiClient, hurried: list[float]
) -> None:
    plane.on("GET", "/v1/config/stream", events(event(1)), refusal(400, "parameter-invalid", "No"))
    stream = client.stream()
    next(stream)
    with pytest.raises(Refused, match="No"):
        next(stream)


# -- TLS ------------------------------------------------------------------------------------------------------


def test_the_environment_says_the_same_as_the_options() -> None:
    environment = {"HFI_CA": "ca.pem", "HFI_CERT": "c.pem", "HFI_KEY": "k.pem"}
    assert ClientTls.of_environment(environment) == ClientTls(Path("ca.pem"), Path("c.pem"), Path("k.pem"))
    assert ClientTls.of_environment({"HFI_CA": ""}) == ClientTls()
    assert not ClientTls()


def test_certificates_are_not_sent_into_plaintext() -> None:
    with pytest.raises(SettingsInvalid, match="write https://HOST:PORT"):
        HfiClient("http://hfi.test", tls=ClientTls(ca=Path("ca.pem")))
    with pytest.raises(SettingsInvalid, match="belong together"):
        ClientTls(cert=Path("c.pem"))
