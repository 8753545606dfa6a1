from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hfi_cli.client import HfiClient
from tests.unit.cli.conftest import FakePlane, Run, refusal


def module(version: str = "1.4.0", **changed: Any) -> dict[str, Any]:
    return {
        "version": version,
        "digest": "ab" * 32,
        "size": 750_000,
        "abi": "0.2.1",
        "note": "faster",
        "pushedAtMs": 1_764_000_000_000,
        "role": "stable",
        **changed,
    }


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "f.wasm"
    path.write_bytes(b"\0asm-bytes")
    return str(path)


def test_push_sends_the_bytes_as_they_are(plane: FakePlane, run: Run, file: str) -> None:
    plane.on("PUT", "/v1/filters/1.4.0+x", httpx.Response(201, json=module("1.4.0+x")))
    done = run("filter", "push", file, "--version", "1.4.0+x", "--note", "faster, and smaller")
    assert (done.exit_code, done.stdout) == (0, "filter 1.4.0+x pushed (abababababab, 732 KiB)\n")
    [request] = plane.requests
    assert request.content == b"\0asm-bytes"
    assert request.headers["content-type"] == "application/wasm"
    assert dict(request.url.params) == {"note": "faster, and smaller"}


def test_push_of_what_is_there_says_so(plane: FakePlane, run: Run, file: str) -> None:
    plane.on("PUT", "/v1/filters/1.4.0", httpx.Response(200, json=module()))
    assert "is in the catalogue already" in run("filter", "push", file, "--version", "1.4.0").stdout
    assert json.loads(run("-o", "json", "filter", "push", file, "--version", "1.4.0").stdout) == module()


def test_push_of_what_cannot_be_read_asks_nobody(plane: FakePlane, run: Run, tmp_path: Path) -> None:
    done = run("filter", "push", str(tmp_path / "none.wasm"), "--version", "1")
    assert (done.exit_code, plane.requests) == (2, [])
    assert "none.wasm: No such file" in done.stderr


def test_a_refusal_says_every_reason(plane: FakePlane, run: Run, file: str) -> None:
    reasons = ["it speaks no version of proxy-wasm", "it imports env.open"]
    refused = refusal(422, "module-refused", "The filter module cannot be added", "; ".join(reasons), reasons=reasons)
    plane.on("PUT", "/v1/filters/1", refused)
    done = run("filter", "push", file, "--version", "1")
    assert done.exit_code == 1
    assert all(reason in done.stderr for reason in reasons)


def test_list_in_each_form(plane: FakePlane, run: Run) -> None:
    body = {"items": [module("1.5.0", role=None), module("1.4.0", note="")], "next": None, "version": "9"}
    plane.on("GET", "/v1/filters", httpx.Response(200, json=body))
    lines = run("filter", "list").stdout.splitlines()
    assert lines[0].split() == ["VERSION", "ROLE", "DIGEST", "SIZE", "ABI", "PUSHED", "NOTE"]
    assert lines[1].split()[:6] == ["1.5.0", "-", "abababababab", "732", "KiB", "0.2.1"]
    assert json.loads(run("filter", "list", "-o", "json").stdout) == body["items"]
    assert list(yaml.safe_load_all(run("filter", "list", "-o", "yaml").stdout)) == body["items"]


def test_an_empty_catalogue_is_said_to_be(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/filters", httpx.Response(200, json={"items": [], "next": None, "version": "0"}))
    assert "The catalogue is empty." in run("filter", "list").stderr


def test_describe_says_everything_and_can_save_the_bytes(plane: FakePlane, run: Run, tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "application/wasm":
            return httpx.Response(200, content=b"\0asm", headers={"content-type": "application/wasm"})
        return httpx.Response(200, json=module())

    plane.on("GET", "/v1/filters/1.4.0", answer)
    saved = tmp_path / "saved.wasm"
    done = run("filter", "describe", "1.4.0", "--save", str(saved))
    assert all(word in done.stdout for word in ("1.4.0", "ab" * 32, "732 KiB", "0.2.1", "2025-11-24", "faster"))
    assert saved.read_bytes() == b"\0asm"
    assert yaml.safe_load(run("filter", "describe", "1.4.0", "-o", "yaml").stdout) == module()
    assert run("filter", "describe", "1.4.0", "--save", str(tmp_path / "no" / "x")).exit_code == 2


def test_delete_of_several(plane: FakePlane, run: Run) -> None:
    for version in ("1.4.0", "1.5.0+x"):
        plane.on("DELETE", f"/v1/filters/{version}", httpx.Response(200, json=module(version, role=None)))
    done = run("filter", "delete", "1.4.0", "1.5.0+x")
    said = "filter 1.4.0 deleted (abababababab)\nfilter 1.5.0+x deleted (abababababab)\n"
    assert (done.exit_code, done.stdout) == (0, said)
    assert json.loads(run("filter", "delete", "1.4.0", "-o", "json").stdout) == [module(role=None)]


def test_delete_of_what_proxies_run_says_what_would_help(plane: FakePlane, run: Run) -> None:
    why = "filter module 1.4.0 is the stable one, which proxies run"
    plane.on("DELETE", "/v1/filters/1.4.0", refusal(409, "module-in-use", "Proxies run that filter module", why))
    done = run("filter", "delete", "1.4.0")
    assert (done.exit_code, done.stdout) == (1, "")
    assert why in done.stderr


def test_the_client_can_delete_one_digest_alone(plane: FakePlane, client: HfiClient) -> None:
    plane.on("DELETE", "/v1/filters/1.4.0", httpx.Response(200, json=module(role=None)))
    client.delete_filter("1.4.0")
    assert client.delete_filter("1.4.0", digest="ab" * 32)["version"] == "1.4.0"
    assert [request.headers.get("if-match") for request in plane.requests] == [None, f'"{"ab" * 32}"']


@pytest.mark.parametrize("version", ["rollout", ".", "..", "a/b", ""])
def test_what_can_be_no_version_is_told_and_not_asked_for(plane: FakePlane, run: Run, version: str) -> None:
    """In an address it would be another resource: ``rollout`` is one."""
    plane.on("GET", "/v1/filters/rollout", httpx.Response(200, json={"stable": {}}))
    for command in ("describe", "delete"):
        done = run("filter", command, version)
        assert (done.exit_code, plane.requests) == (2, [])
        assert f"{version!r} is no version of a module" in done.stderr
