"""The demo, as somebody types it who has never seen HFI."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.control_plane import CLI

#: Three VMs have to compile the module, on a machine that may be busy.
SECONDS = 110


def _environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def _leftovers(tmp_path: Path) -> list[str]:
    """Processes that still run out of the demo's directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"{tmp_path}/hfi-demo-" in words:
            found.append(words)
    return found


@pytest.mark.timeout(SECONDS + 10)
def test_check_measures_what_was_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [*CLI, "demo", "--check"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=_environment(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("as asked") == 3
    assert list(tmp_path.iterdir()) == []
    assert _leftovers(tmp_path) == []


@pytest.mark.timeout(SECONDS + 10)
def test_it_stays_up_and_everything_ends_with_it(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*CLI, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment(tmp_path)
    )
    # Reading a pipe knows no deadline.
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"traffic goes to Envoy +(http://\S+)", told)
        assert found is not None, told
        assert httpx.get(f"{found[1]}/catalog", trust_env=False).status_code == 200
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 0, told + rest
        assert "Traceback" not in rest
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]
    assert list(tmp_path.iterdir()) == []
    assert _leftovers(tmp_path) == []
