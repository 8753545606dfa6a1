from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import yaml

from hfi_cli import rollout_view
from tests.unit.cli.conftest import FakePlane, Run, refusal

PATH = "/v1/filters/rollout"


def status(state: str | None = "running", applied: int = 1, **changed: Any) -> dict[str, Any]:
    candidate = {"version": "1.4.0", "digest": "ab" * 32, "generation": 3}
    rollout = {
        "id": "r1",
        "candidate": candidate,
        "share": 10.0,
        "selector": None,
        "state": state,
        "cause": None,
        "reason": "",
        "watchSeconds": 60,
        "maxErrors": 0,
        "startedAtMs": 1_764_000_000_000,
        "changedAtMs": 1_764_000_000_000,
        **changed,
    }
    return {
        "stable": {"version": "1.3.0", "digest": "cd" * 32, "generation": 1},
        "rollout": rollout if state else None,
        "nodes": {
            "candidate": {"applied": applied, "waiting": 4 - applied, "rejected": 0},
            "stable": {"applied": 36, "waiting": 0, "rejected": 0},
        },
        "events": [{"atMs": 1_764_000_000_000, "kind": "started", "detail": "1.4.0 to 10%"}],
    }


BACK = status("rolled_back", cause="errors", reason="node n1: 3 errors more than others")


@pytest.mark.parametrize(
    ("args", "action", "body"),
    [
        ("start --version 1.4.0 --share 10", "", {"version": "1.4.0", "share": 10}),
        (
            "start --version 1.4.0 -l track=canary,zone=a --cluster c --watch-seconds 30 --max-errors 2",
            "",
            {
                "version": "1.4.0",
                "selector": {"labels": {"track": "canary", "zone": "a"}, "cluster": "c"},
                "watchSeconds": 30,
                "maxErrors": 2,
            },
        ),
        ("advance", "/advance", {}),
        ("advance --unwatched", "/advance", {"unwatched": True}),
        ("advance --share 33.3 --resume", "/advance", {"share": 33.3, "resume": True}),
        ("pause", "/pause", {}),
        ("rollback", "/rollback", {}),
        ("rollback --reason slow", "/rollback", {"reason": "slow"}),
    ],
)
def test_each_command_asks_for_what_it_says(
    plane: FakePlane, run: Run, args: str, action: str, body: dict[str, Any]
) -> None:
    plane.on("POST", PATH + action, httpx.Response(200, json=status()))
    done = run("filter", "rollout", *args.split())
    assert done.exit_code == 0, done.output
    assert plane.documents("POST", PATH + action) == [body]
    assert "1.4.0, 1 of 4 connected nodes" in done.stdout


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_start_that_covers_nobody_is_done_with_a_warning(plane: FakePlane, run: Run, output: str) -> None:
    nobody = status(share=0.0, selector={"labels": {"track": "canary"}})
    nobody["nodes"]["candidate"] = {"applied": 0, "waiting": 0, "rejected": 0}
    plane.on("POST", PATH, httpx.Response(200, json=nobody))
    done = run("-o", output, "filter", "rollout", "start", "--version", "1.4.0", "-l", "track=canary")
    assert done.exit_code == 0
    assert done.stderr == (
        "warning: of the connected nodes none is covered by track=canary: none runs 1.4.0 yet. "
        "hfi-cli proxy list shows which are connected\n"
    )
    assert "warning" not in done.stdout
    # One that waits is covered.
    nobody["nodes"]["candidate"]["waiting"] = 1
    plane.on("POST", PATH, httpx.Response(200, json=nobody))
    assert run("filter", "rollout", "start", "--version", "1.4.0", "-l", "track=canary").stderr == ""


@pytest.mark.parametrize("args", ["", "--share 0", "--share 101", "--selector x"])
def test_a_start_says_for_whom(plane: FakePlane, run: Run, args: str) -> None:
    assert run("filter", "rollout", "start", "--version", "1", *args.split()).exit_code == 2
    assert plane.requests == []


def test_nothing_advances_to_a_share_of_0(plane: FakePlane, run: Run) -> None:
    done = run("filter", "rollout", "advance", "--share", "0")
    assert (done.exit_code, plane.requests) == (2, [])
    assert "above 0; hfi-cli filter rollout rollback ends it" in done.stderr


def test_a_refusal_is_told(plane: FakePlane, run: Run) -> None:
    plane.on("POST", PATH + "/advance", refusal(409, "rollout-conflict", "No", "no rollout is under way"))
    done = run("filter", "rollout", "advance")
    assert (done.exit_code, "no rollout is under way" in done.stderr) == (1, True)


def test_status_in_each_form(plane: FakePlane, run: Run) -> None:
    plane.on("GET", PATH, httpx.Response(200, json=status(selector={"labels": {"track": "canary"}})))
    text = run("filter", "rollout", "status").stdout
    for words in ("1.3.0, 36 of 36", "running", "10% of the nodes and track=canary", "1m, 0 errors allowed", "started"):
        assert words in text
    assert json.loads(run("filter", "rollout", "status", "-o", "json").stdout)["rollout"]["id"] == "r1"
    assert yaml.safe_load(run("filter", "rollout", "status", "-o", "yaml").stdout)["rollout"]["id"] == "r1"


def test_status_says_why_it_went_back_and_who_rejected(plane: FakePlane, run: Run) -> None:
    plane.on("GET", PATH, httpx.Response(200, json=BACK))
    done = run("filter", "rollout", "status")
    assert done.exit_code == 0
    assert "rolled back" in done.stdout
    assert "node n1: 3 errors more than others" in done.stdout
    rejected = status(applied=3)
    rejected["nodes"]["candidate"] = {"applied": 3, "waiting": 0, "rejected": 1}
    plane.on("GET", PATH, httpx.Response(200, json=rejected))
    assert "3 of 4 connected nodes, 1 rejected it" in run("filter", "rollout", "status").stdout


def test_without_a_rollout_there_is_the_stable_module(plane: FakePlane, run: Run) -> None:
    plane.on("GET", PATH, httpx.Response(200, json=status(None)))
    assert "1.3.0" in run("filter", "rollout", "status").stdout
    assert "no rollout" in run("filter", "rollout", "status", "--watch").stderr


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_view, "LOOK_AGAIN_SECONDS", 0)


def answers(*found: dict[str, Any]) -> list[httpx.Response]:
    return [httpx.Response(200, json=one) for one in found]


@pytest.mark.usefixtures("at_once")
def test_watch_tells_each_change_once_until_it_is_over(plane: FakePlane, run: Run) -> None:
    plane.on("GET", PATH, *answers(status(), status(), status(applied=4), status("completed")))
    done = run("filter", "rollout", "status", "--watch")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "1.4.0 running, 10% of the nodes, 1 of 4 nodes",
        "1.4.0 running, 10% of the nodes, 4 of 4 nodes",
        "1.4.0 completed, 10% of the nodes",
    ]
    assert "completed" in done.stdout


@pytest.mark.usefixtures("at_once")
def test_watch_of_one_that_goes_back_fails_with_the_reason(plane: FakePlane, run: Run) -> None:
    plane.on("GET", PATH, *answers(status(), BACK))
    done = run("filter", "rollout", "status", "-w")
    assert done.exit_code == 1
    assert "error: rolled back to 1.3.0: node n1: 3 errors more than others" in done.stderr


@pytest.mark.usefixtures("at_once")
def test_watch_for_programs_is_a_line_or_a_document_for_each_change(plane: FakePlane, run: Run) -> None:
    plane.on("GET", PATH, *answers(status(), status("completed")))
    lines = run("filter", "rollout", "status", "-w", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["rollout"]["state"] for line in lines] == ["running", "completed"]
    plane.on("GET", PATH, *answers(status(), status("completed")))
    documents = yaml.safe_load_all(run("filter", "rollout", "status", "-w", "-o", "yaml").stdout)
    assert [document["rollout"]["state"] for document in documents] == ["running", "completed"]


@pytest.mark.usefixtures("at_once")
def test_on_a_terminal_there_is_a_bar(plane: FakePlane, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(rollout_view, "err", lambda: console)
    with rollout_view.live(True) as update:
        update(status(applied=2))  # type: ignore[arg-type]
        update(status(applied=4))  # type: ignore[arg-type]
    assert "2/4" in screen.getvalue()
    assert "4/4" in screen.getvalue()
    assert "━" in screen.getvalue()
    screen.truncate(0)
    ended = status("completed", applied=0)
    ended["nodes"]["candidate"] = {"applied": 0, "waiting": 0, "rejected": 0}
    with rollout_view.live(True) as update:
        update(ended)  # type: ignore[arg-type]
    assert "completed" in screen.getvalue()
    assert "0/0" not in screen.getvalue()
    assert "━" not in screen.getvalue()


@pytest.mark.usefixtures("at_once")
def test_who_ends_the_watch_has_done_nothing_wrong(plane: FakePlane, run: Run) -> None:
    def interrupt(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    plane.on("GET", PATH, httpx.Response(200, json=status()), interrupt)
    assert run("filter", "rollout", "status", "-w").exit_code == 0


@pytest.mark.usefixtures("at_once")
def test_a_server_that_goes_away_is_asked_again(plane: FakePlane, run: Run) -> None:
    gone = [httpx.ConnectError("refused"), httpx.ConnectError("refused")]
    plane.on("GET", PATH, *answers(status()), *gone, *answers(status("completed")))
    done = run("filter", "rollout", "status", "-w")
    assert done.exit_code == 0
    assert done.stderr.count("asking again") == 1
    plane.on("GET", PATH, httpx.ConnectError("refused"))
    assert run("filter", "rollout", "status", "-w").exit_code == 3
