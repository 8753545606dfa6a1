"""``hfi-cli`` against a real control plane, as a program of its own: what people type, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hfi_cli.client import HfiClient
from tests.integration.test_cli_serve import Served, serving
from tests.support.control_plane import CLI
from tests.support.policies import abort_rule, policy

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("plane"), "--store", "memory") as running:
        yield running


@pytest.fixture
def clean(plane: Served) -> Iterator[HfiClient]:
    """A client of a control plane without policies; what a test leaves is taken away."""
    with HfiClient(plane.url) as client:
        yield client
        for one in list(client.list()):
            client.delete(one["metadata"]["name"])


def hfi(plane: Served, *words: str, given: str = "", server: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HFI_SERVER": server or plane.url}
    return subprocess.run([*CLI, *words], input=given, capture_output=True, text=True, timeout=60, check=False, env=env)


def test_the_life_of_a_policy(plane: Served, clean: HfiClient) -> None:
    document = yaml.safe_dump(policy("p", abort_rule(percentage=25), labels={"team": "x"}))
    created = hfi(plane, "policy", "apply", "-f", "-", "--wait", given=document)
    assert (created.returncode, created.stderr) == (0, "No connected proxy is concerned.\n")
    assert created.stdout.startswith("policy p created (version ")
    assert hfi(plane, "policy", "apply", "-f", "-", given=document).stdout.startswith("policy p updated (version ")
    assert [line.split()[0] for line in hfi(plane, "policy", "list", "-l", "team=x").stdout.splitlines()] == [
        "NAME",
        "p",
    ]
    assert hfi(plane, "policy", "list", "-l", "team=y").stdout == ""
    assert "25%: abort 503" in hfi(plane, "policy", "describe", "p").stdout
    assert "25%" in hfi(plane, "explain", "--path", "/a").stdout
    assert hfi(plane, "proxy", "list").stderr == "No proxy has connected yet.\n"
    assert json.loads(hfi(plane, "metrics", "-o", "json").stdout)["control_plane"]["policies"] == 1
    assert hfi(plane, "policy", "delete", "p", "--wait").returncode == 0
    assert list(clean.list()) == []


def test_what_is_listed_can_be_applied_again(plane: Served, clean: HfiClient) -> None:
    for name in ("a", "b"):
        clean.apply(policy(name))
    for form in ("json", "yaml"):
        listed = hfi(plane, "policy", "list", "-o", form).stdout
        again = hfi(plane, "policy", "apply", "-f", "-", given=listed)
        assert again.returncode == 0, again.stderr
        stale = hfi(plane, "policy", "apply", "-f", "-", given=listed)
        assert stale.returncode == 1
        assert "has another version" in stale.stderr


def test_one_bad_document_of_three_leaves_everything_as_it_was(plane: Served, clean: HfiClient, tmp_path: Path) -> None:
    bad = policy("bad", {"name": "r", "match": {"path": {"regex": "(["}}, "fault": {"abort": {"httpStatus": 99}}})
    file = tmp_path / "three.yaml"
    file.write_text(yaml.safe_dump_all([policy("good-1"), bad, policy("good-2")], sort_keys=False))
    done = hfi(plane, "policy", "apply", "-f", str(file))
    assert done.returncode == 1
    assert list(clean.list()) == []
    lines = file.read_text().splitlines()
    for text, pointer in (
        ("        regex: ([", "/spec/rules/0/match/path/regex"),
        ("        httpStatus: 99", "/spec/rules/0/fault/abort/httpStatus"),
    ):
        assert f"{file}:{lines.index(text) + 1}: {pointer} " in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("policy", "list"), 0),
        (("policy", "get", "nobody"), 1),
        (("policy", "delete", "nobody"), 1),
        (("policy", "apply", "-f", "/nowhere"), 2),
        (("policy", "list", "-l", "x"), 2),
        (("explain",), 2),
    ],
)
def test_exit_codes(plane: Served, clean: HfiClient, words: tuple[str, ...], code: int) -> None:
    done = hfi(plane, *words)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_3(plane: Served) -> None:
    # Port 1 is nobody's; and the xDS port answers, but not as HFI's HTTP does.
    for server in ("http://127.0.0.1:1", f"http://{plane.xds}"):
        done = hfi(plane, "policy", "list", server=server)
        assert (done.returncode, done.stdout) == (3, "")
        assert server in done.stderr


def test_watch_shows_a_change_as_it_is_made(plane: Served, clean: HfiClient) -> None:
    env = {**os.environ, "HFI_SERVER": plane.url}
    process = subprocess.Popen([*CLI, "watch", "-n", "2"], stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().endswith(", 0 rules\n")
        clean.apply(policy("p"))
        assert process.stdout.readline().endswith(", 1 rule\n")
        assert process.stdout.readline() == "  + p/r: every request → 100%: abort 503\n"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_applies(plane: Served, clean: HfiClient, example: Path) -> None:
    done = hfi(plane, "policy", "apply", "-f", str(example))
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(example.read_text()))
    assert [one["metadata"]["name"] for one in clean.list()] == sorted(one["metadata"]["name"] for one in documents)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5
