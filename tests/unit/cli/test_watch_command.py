from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from hfi_cli import client as client_module
from hfi_cli import stream as stream_module
from tests.unit.cli.conftest import FakePlane, Run
from tests.unit.cli.test_changes import rule
from tests.unit.cli.test_client import events


def event(version: int, *rules: dict[str, Any], epoch: str = "e") -> str:
    data = {"version": str(version), "epoch": epoch, "server_time_ms": 0, "rules": rules}
    return f"id: {version}\nevent: update\ndata: {json.dumps(data)}\n\n"


def test_each_change_in_words(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/config/stream", events(event(1, rule("a")), event(2), event(1, rule("b"), epoch="f")))
    result = run("watch", "--count", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "1970-01-01 00:00:00Z  version 1, 1 rule",
        "  + p/a: prefix /a → 25%: abort 503",
        "1970-01-01 00:00:00Z  version 2, 0 rules",
        "  - p/a: prefix /a → 25%: abort 503",
        "1970-01-01 00:00:00Z  the store is another one than before; everything is read anew",
        "1970-01-01 00:00:00Z  version 1, 1 rule",
        "  + p/b: prefix /a → 25%: abort 503",
    ]


def test_as_somebody(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/config/stream", events(event(1)))
    assert run("watch", "-n", "1", "--cluster", "c", "--label", "k=v").exit_code == 0
    assert plane.requests[0].headers["x-hfi-cluster"] == "c"
    assert plane.requests[0].headers["x-hfi-labels"] == "k=v"


def test_for_programs(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/config/stream", events(event(1, rule("a")), event(2)))
    lines = run("watch", "-n", "2", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["version"] for line in lines] == ["1", "2"]
    documents = list(yaml.safe_load_all(run("watch", "-n", "2", "-o", "yaml").stdout))
    assert [document["version"] for document in documents] == ["1", "2"]


def test_a_lost_connection_is_told(plane: FakePlane, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module.time, "sleep", lambda seconds: None)
    plane.on("GET", "/v1/config/stream", events(event(1)), httpx.ConnectError("refused"), events(event(2)))
    result = run("watch", "-n", "2")
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "http://127.0.0.1:8080 has ended the stream; connecting again",
        "no HFI server can be reached at http://127.0.0.1:8080: refused; connecting again",
    ]


def test_ctrl_c_is_how_it_ends(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, **options: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(client_module.HfiClient, "stream", interrupted)
    assert run("watch").exit_code == 0
