from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.policies import policy
from tests.unit.cli.conftest import FakePlane, Run, proxies, proxy, refusal, stored

NOT_FOUND = refusal(404, "policy-not-found", "There is no such policy")
INVALID = refusal(
    422,
    "policy-invalid",
    "The policy is not valid",
    "1 problem",
    errors=[{"pointer": "/spec/rules/0/fault/abort/httpStatus", "detail": "must be 200 to 599"}],
)


def by_name(**answers: httpx.Response) -> Any:
    """Answers an apply by the name in its document; the others are accepted."""

    def answer(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["metadata"]["name"]
        return answers.get(name.replace("-", "_")) or httpx.Response(201, json=stored(name))

    return answer


@pytest.fixture
def two(tmp_path: Path) -> Path:
    file = tmp_path / "two.yaml"
    file.write_text("---\n".join(yaml.safe_dump(policy(name), sort_keys=False) for name in ("one", "two")))
    return file


def test_apply_tries_everything_and_then_writes_in_order(plane: FakePlane, run: Run, two: Path) -> None:
    plane.on("POST", "/v1/policies", by_name())
    plane.on("GET", "/v1/policies/one", NOT_FOUND)
    plane.on("GET", "/v1/policies/two", httpx.Response(200, json=stored("two", 3)))
    result = run("policy", "apply", "-f", str(two))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "policy one created (version 7)\npolicy two created (version 7)\n"
    assert plane.documents("POST", "/v1/policies", dryRun="true") == [policy("one"), policy("two")]
    assert plane.documents("POST", "/v1/policies") == [policy("one"), policy("two")]


def test_one_bad_document_means_that_none_is_written(plane: FakePlane, run: Run, two: Path) -> None:
    plane.on("POST", "/v1/policies", by_name(two=INVALID))
    result = run("policy", "apply", "-f", str(two))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert plane.documents("POST", "/v1/policies") == []
    line = two.read_text().splitlines().index("        httpStatus: 503", 12) + 1
    assert result.stderr == (
        f"error: {two}, document 2 (two): The policy is not valid\n"
        f"  {two}:{line}: /spec/rules/0/fault/abort/httpStatus must be 200 to 599\n"
        "1 of 2 documents are refused; nothing was applied.\n"
    )


def test_a_refusal_without_places_says_what_it_is(plane: FakePlane, run: Run) -> None:
    conflict = refusal(409, "version-conflict", "The policy has another version", "read it again")
    plane.on("POST", "/v1/policies", conflict)
    result = run("policy", "apply", "-f", "-", stdin=json.dumps(policy("one")))
    assert result.exit_code == 1
    assert result.stderr == "error: standard input (one): The policy has another version: read it again\n"


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (refusal(409, "version-conflict", "Another version", "again"), 1, "document 2 (two): Another version: again"),
        (httpx.ConnectError("refused"), 3, "no HFI server can be reached"),
    ],
)
def test_what_stops_half_way_says_what_was_written(
    plane: FakePlane, run: Run, two: Path, answer: Any, code: int, told: str
) -> None:
    ok = httpx.Response(201, json=stored("one"))
    plane.on("POST", "/v1/policies", ok, ok, ok, answer)
    plane.on("GET", "/v1/policies/one", NOT_FOUND)
    plane.on("GET", "/v1/policies/two", NOT_FOUND)
    result = run("policy", "apply", "-f", str(two))
    assert result.exit_code == code
    assert result.stdout == "policy one created (version 7)\n"
    assert told in result.stderr
    assert result.stderr.endswith("Applied before that: one.\n")


def test_a_server_that_fails_to_say_what_is_stored_ends_it(plane: FakePlane, run: Run) -> None:
    plane.on("POST", "/v1/policies", httpx.Response(201, json=stored("one")))
    plane.on("GET", "/v1/policies/one", refusal(503, "store-unavailable", "Away"))
    result = run("policy", "apply", "-f", "-", stdin=json.dumps(policy("one")))
    assert result.exit_code == 1
    assert result.stderr.endswith("Applied before that: nothing.\n")


def test_dry_run_writes_nothing(plane: FakePlane, run: Run, two: Path) -> None:
    unversioned = stored("two", 0)
    plane.on("POST", "/v1/policies", by_name(two=httpx.Response(200, json=unversioned)))
    result = run("policy", "apply", "-f", str(two), "--dry-run")
    assert result.exit_code == 0
    assert result.stdout == "policy one would be updated (dry run)\npolicy two would be created (dry run)\n"
    assert plane.documents("POST", "/v1/policies") == []
    result = run("-o", "json", "policy", "apply", "-f", str(two), "--dry-run")
    assert json.loads(result.stdout) == [stored("one"), unversioned]


def test_apply_prints_what_is_stored_for_programs(plane: FakePlane, run: Run, two: Path) -> None:
    plane.on("POST", "/v1/policies", by_name())
    plane.on("GET", "/v1/policies/one", NOT_FOUND)
    plane.on("GET", "/v1/policies/two", NOT_FOUND)
    result = run("policy", "apply", "-f", str(two), "-o", "yaml")
    assert list(yaml.safe_load_all(result.stdout)) == [stored("one"), stored("two")]


@pytest.mark.parametrize("option", [["--wait"], ["--wait", "--timeout", "30s"], ["--wait=30"], ["--wait=0.5m"]])
def test_wait_asks_until_the_proxies_concerned_have_it(
    plane: FakePlane, run: Run, two: Path, option: list[str]
) -> None:
    # What a policy covered before is concerned as well: its faults are to stop there.
    plane.on("GET", "/v1/policies/one", httpx.Response(200, json=stored("one", 3, selector={"cluster": "old"})))
    plane.on("GET", "/v1/policies/two", NOT_FOUND)
    new = {name: httpx.Response(200, json=stored(name, 8, selector={"cluster": "c"})) for name in ("one", "two")}
    plane.on("POST", "/v1/policies", by_name(**new))
    elsewhere = proxy("e", 1, cluster="elsewhere")
    plane.on(
        "GET",
        "/v1/proxies",
        proxies(proxy("a", 7), proxy("b", 7, cluster="old"), elsewhere),
        proxies(proxy("a", 8), proxy("b", 7, cluster="old"), elsewhere),
        proxies(proxy("a", 8), proxy("b", 8, cluster="old"), elsewhere),
    )
    result = run("policy", "apply", "-f", str(two), *option)
    assert (result.exit_code, result.stderr) == (0, "2 connected proxies have version 8.\n")
    assert len(plane.asked("GET", "/v1/proxies")) == 3


def test_a_wait_that_runs_out_is_1_and_names_the_laggards(plane: FakePlane, run: Run) -> None:
    plane.on("POST", "/v1/policies", by_name())
    plane.on("GET", "/v1/policies/one", NOT_FOUND)
    plane.on("GET", "/v1/proxies", proxies(proxy("fast", 7), proxy("slow", 6)))
    result = run("policy", "apply", "-f", "-", "--wait=1ms", stdin=json.dumps(policy("one")))
    assert result.exit_code == 1
    assert "1 of 2 proxies do not have version 7 yet: slow." in result.stderr


def test_nobody_to_wait_for(plane: FakePlane, run: Run) -> None:
    plane.on("POST", "/v1/policies", by_name())
    plane.on("GET", "/v1/policies/one", NOT_FOUND)
    plane.on("GET", "/v1/proxies", proxies())
    result = run("policy", "apply", "-f", "-", "--wait", stdin=json.dumps(policy("one")))
    assert (result.exit_code, result.stderr) == (0, "No connected proxy is concerned.\n")


@pytest.mark.parametrize("args", [["-f", "/nowhere.yaml"], ["-f", "-", "--wait=soon"], ["-f", "-", "--timeout", "-1s"]])
def test_wrong_usage_asks_no_server(plane: FakePlane, run: Run, args: list[str]) -> None:
    result = run("policy", "apply", *args, stdin=json.dumps(policy("one")))
    assert result.exit_code == 2
    assert plane.requests == []


def test_a_server_that_is_not_there_is_3(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/policies", httpx.ConnectError("Connection refused"))
    result = run("--server", "http://127.0.0.1:1", "policy", "list")
    assert result.exit_code == 3
    assert result.stderr == "error: no HFI server can be reached at http://127.0.0.1:1: Connection refused\n"


def test_the_server_of_the_command_the_program_and_the_environment(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/policies", httpx.Response(200, json={"items": [], "next": None, "version": "1"}))
    environment = {"HFI_SERVER": "http://env.test"}
    run("policy", "list", env=environment)
    run("--server", "http://program.test", "policy", "list", env=environment)
    run("--server", "http://program.test", "policy", "list", "--server", "http://command.test", env=environment)
    assert [request.url.host for request in plane.requests] == ["env.test", "program.test", "command.test"]


@pytest.fixture
def listed(plane: FakePlane) -> list[dict[str, Any]]:
    items = [
        stored("a", 1, priority=5, enabled=False, selector={"cluster": "c"}),
        stored("b", 2, mode="shadow"),
        stored("c", 3),
    ]
    items[2]["metadata"]["labels"] = {"team": "x"}
    items[2]["status"]["expiresAtMs"] = 1_764_000_600_000
    plane.on("GET", "/v1/policies", httpx.Response(200, json={"items": items, "next": None, "version": "3"}))
    return items


def test_list_for_people(plane: FakePlane, run: Run, listed: list[dict[str, Any]]) -> None:
    result = run("policy", "list", "-l", "team=x,tier=1", "-l", "zone=a")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["NAME", "VERSION", "PRIORITY", "STATE", "RULES", "PROXIES", "LABELS", "ENDS"],
        ["a", "1", "5", "disabled", "1", "cluster", "c", "-", "never"],
        ["b", "2", "0", "shadow", "1", "all", "-", "never"],
        ["c", "3", "0", "enforced", "1", "all", "team=x", "2025-11-24", "16:10:00Z"],
    ]
    assert plane.requests[0].url.params.get_list("label") == ["team=x", "tier=1", "zone=a"]


def test_list_for_programs_can_be_applied_again(plane: FakePlane, run: Run, listed: list[dict[str, Any]]) -> None:
    assert json.loads(run("policy", "list", "-o", "json").stdout) == listed
    as_yaml = run("policy", "list", "-o", "yaml").stdout
    plane.on("POST", "/v1/policies", by_name())
    assert run("policy", "apply", "--dry-run", "-f", "-", stdin=as_yaml).exit_code == 0
    assert plane.documents("POST", "/v1/policies", dryRun="true") == listed


def test_an_empty_list_is_told_beside_the_output(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/policies", httpx.Response(200, json={"items": [], "next": None, "version": "1"}))
    result = run("policy", "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "There are no policies.\n")
    assert json.loads(run("policy", "list", "-o", "json").stdout) == []
    assert run("policy", "list", "-o", "yaml").stdout == ""


def test_get_is_yaml_unless_json_is_wanted(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/policies/p", httpx.Response(200, json=stored("p")))
    assert yaml.safe_load(run("policy", "get", "p").stdout) == stored("p")
    assert json.loads(run("policy", "get", "p", "-o", "json").stdout) == stored("p")


def test_get_of_what_is_not_there_is_1(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/policies/p", refusal(404, "policy-not-found", "There is no such policy", "no policy 'p'"))
    result = run("policy", "get", "p")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: no policy 'p'\n"
    plane.on("GET", "/v1/policies/p", refusal(404, "policy-not-found", "There is no such policy", ""))
    assert run("policy", "get", "p").stderr == "error: There is no such policy\n"


def test_describe_says_what_it_does_and_did(plane: FakePlane, run: Run) -> None:
    described = stored("p", includeProbes=True)
    described["metadata"]["annotations"] = {"ticket": "OPS-7"}
    described["spec"]["rules"].append({"name": "t", "fault": {"abort": {"httpStatus": 500}, "duration_seconds": 90}})
    described["status"]["expiresAtMs"] = 1_764_000_600_000
    counted = [
        {
            "policy": "p",
            "rule": "r",
            "matched": 40,
            "injected": {"abort": 9},
            "shadowed": {"abort": 1},
            "skipped": {"percentage": 30},
        },
        {"policy": "other", "rule": "t", "matched": 99, "injected": {}, "shadowed": {}, "skipped": {}},
    ]
    plane.on("GET", "/v1/policies/p", httpx.Response(200, json=described))
    plane.on("GET", "/v1/metrics", httpx.Response(200, json={"rules": counted}))
    shown = run("policy", "describe", "p").stdout
    for words in (["Note", "ticket", "OPS-7"], ["Health", "checks", "touched", "too"]):
        assert words in [line.split() for line in shown.splitlines()]
    assert [line.split() for line in shown.splitlines()[-2:]] == [
        ["r", "prefix", "/a", "25%:", "abort", "503", "no", "end", "40", "9", "1", "percentage", "30"],
        ["t", "every", "request", "100%:", "abort", "500", "1m30s", "0", "0", "0", "-"],
    ]
    data = json.loads(run("policy", "describe", "p", "-o", "json").stdout)
    assert data == {"policy": described, "metrics": counted[:1]}


def test_delete_of_several(plane: FakePlane, run: Run) -> None:
    for name, version in (("a", "8"), ("b", "9")):
        plane.on("DELETE", f"/v1/policies/{name}", httpx.Response(200, json={"name": name, "version": version}))
    assert run("policy", "delete", "a", "b").stdout == "policy a deleted (version 8)\npolicy b deleted (version 9)\n"
    gone = [{"name": "a", "version": "8"}]
    assert json.loads(run("policy", "delete", "a", "-o", "json").stdout) == gone


def test_delete_waits_for_the_proxies_that_it_covered(plane: FakePlane, run: Run) -> None:
    plane.on("GET", "/v1/policies/a", httpx.Response(200, json=stored("a", selector={"cluster": "c"})))
    plane.on("DELETE", "/v1/policies/a", httpx.Response(200, json={"name": "a", "version": "8"}))
    plane.on("GET", "/v1/proxies", proxies(proxy("n", 7), proxy("x", 1, cluster="x")), proxies(proxy("n", 8)))
    result = run("policy", "delete", "a", "--wait=30s")
    assert (result.exit_code, result.stderr) == (0, "1 connected proxy has version 8.\n")


def test_delete_under_a_version(plane: FakePlane, run: Run) -> None:
    plane.on("DELETE", "/v1/policies/a", httpx.Response(200, json={"name": "a", "version": "8"}))
    assert run("policy", "delete", "a", "--if-version", "7").exit_code == 0
    assert plane.requests[0].headers["if-match"] == '"7"'
    assert run("policy", "delete", "a", "b", "--if-version", "7").exit_code == 2
    assert run("policy", "delete", "a", "--if-version", "seven").exit_code == 2
