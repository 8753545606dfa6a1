"""The program as a whole: help, version, exit codes, output, logs and signals."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hfi_cli import console, logs, session, signals
from hfi_cli.choices import LogFormat, LogLevel, Output
from hfi_cli.commands.completion import policy_names
from hfi_cli.errors import ClientError, ExitCode, NotDone, NotReachable, Refused, UsageError
from hfi_core.errors import HfiError, ModuleUnavailable, SettingsInvalid, StoreDenied, StoreUnavailable
from tests.unit.cli.conftest import FakePlane, Run, stored

COMMANDS = ("policy", "explain", "proxy", "metrics", "watch", "serve", "bootstrap", "certs", "demo")


def test_help_names_every_command(run: Run) -> None:
    shown = run("--help").stdout
    assert all(command in shown for command in COMMANDS)
    assert all(run(command, "--help").exit_code == 0 for command in COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    heavy = (
        "grpc",
        "cryptography",
        "wasmtime",
        "envoy_data_plane",
        "starlette",
        "uvicorn",
        "httpx",
        "pydantic",
        "yaml",
    )
    code = f"import sys, hfi_cli.main; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_version(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"hfi-cli {version('hfi')}\n"


@pytest.mark.parametrize("args", [["nonsense"], ["policy"], ["policy", "get"], ["-o", "xml", "metrics"], []])
def test_a_wrong_command_line_is_2(run: Run, args: list[str]) -> None:
    assert run(*args).exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused(422, {}), 1),
        (NotDone("x"), 1),
        (ModuleUnavailable("x"), 1),
        (StoreDenied("x"), 1),
        (ClientError("x"), 1),
        (UsageError("x"), 2),
        (SettingsInvalid("x"), 2),
        (NotReachable("x"), 3),
        (StoreUnavailable("x"), 3),
    ],
)
def test_exit_codes_are_promises(error: HfiError, code: int) -> None:
    assert session.exit_code(error) == ExitCode(code)


@pytest.mark.parametrize(
    "args",
    [
        ("--http", "0.0.0.0:8080"),
        ("--http", "8080"),
        ("--tls-cert", "x.pem"),
        ("--max-streams", "0"),
        ("--write-timeout", "0"),
        ("--max-message", "1024"),
        ("--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.pem"),
        ("--store", "etcd"),
        ("--store", "memory", "--etcd", "http://a:1"),
        ("--probe-path", "healthz"),
        ("--store", "sqlite"),
    ],
)
def test_serve_refuses_wrong_usage_before_it_starts_anything(run: Run, args: tuple[str, ...]) -> None:
    result = run("serve", *args)
    assert (result.exit_code, result.stdout) == (2, "")


def test_completion_offers_names_and_is_silent_in_trouble(
    plane: FakePlane, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = {"items": [stored("abc"), stored("abd"), stored("x")], "next": None, "version": "1"}
    plane.on("GET", "/v1/policies", httpx.Response(200, json=page), httpx.ConnectError("refused"))
    assert policy_names("ab") == ["abc", "abd"]
    assert policy_names("ab") == []
    monkeypatch.setenv("HFI_SERVER", "nonsense")
    assert policy_names("ab") == []


class Narrow(io.StringIO):
    encoding = "ascii"


def test_json_is_readable_where_it_can_be_and_ascii_where_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": "ü"}
    assert console.json_line(value) in ('{"a": "ü"}', '{"a": "\\u00fc"}')
    monkeypatch.setattr(sys, "stdout", Narrow())
    assert console.json_line(value) == '{"a": "\\u00fc"}'
    assert json.loads(console.json_line({"a": "\ud800"})) == {"a": "\ud800"}


def test_a_pipe_gets_neither_colours_nor_folded_lines(capsys: pytest.CaptureFixture[str]) -> None:
    made = console.table("A", "B")
    console.row(made, "x" * 300, "[red]" * 3)
    console.show_table(made, "empty")
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2
    assert "[red][red][red]" in shown
    assert "\x1b" not in shown


def test_output_of_one_document_and_of_several(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_data([{"a": 1}, {"b": 2}], Output.yaml)
    assert capsys.readouterr().out == "a: 1\n---\nb: 2\n"


# -- logs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, given back as it was."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_json_logs_hold_one_object_a_line(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogLevel.info, LogFormat.json)
    log = logging.getLogger("hfi_core.feed")
    log.info("reached %d", 7)
    log.debug("not told")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("info", "hfi_core.feed", "reached 7"),
        ("error", "hfi_core.feed", "failed"),
    ]
    assert "ValueError: two\nlines" in lines[1]["exception"]
    assert lines[0]["time"].endswith("+00:00")


def test_text_logs_and_what_is_quiet(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(LogLevel.info, LogFormat.text)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("hfi_cli").warning("look")
    assert capsys.readouterr().err.splitlines()[0].endswith("WARNING hfi_cli: look")
    logs.configure(LogLevel.error, LogFormat.text)
    assert logging.getLogger("uvicorn").level == logging.ERROR


# -- signals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_ends_the_work_in_order(number: signal.Signals) -> None:
    told: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(told.append, "cleaned up")

    signals.run(work())
    assert told == ["cleaned up"]


def test_an_error_and_a_cancellation_of_its_own_come_out() -> None:
    async def fails() -> None:
        raise NotDone("x")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(NotDone):
        signals.run(fails())
    with pytest.raises(asyncio.CancelledError):
        signals.run(cancelled())
