from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hfi_core.store import leash

COMMAND = (sys.executable, "-I", "-S", leash.__file__)
#: Starts a program on a leash, says its pid, and waits to be killed.
OWNER = """
import os, subprocess, sys
leash, *program = sys.argv[1:]
child = subprocess.Popen([sys.executable, "-I", "-S", leash, str(os.getpid()), *program])
child.wait()
"""


def test_it_becomes_the_program_with_its_arguments_and_exit_code() -> None:
    program = (sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a b", "")
    done = subprocess.run([*COMMAND, str(os.getpid()), *program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "['a b', '']\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_it_starts_nothing_when_the_parent_is_gone_already() -> None:
    program = (sys.executable, "-c", "print('started')")
    done = subprocess.run([*COMMAND, str(os.getppid()), *program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_parent_that_is_killed_takes_the_program_along_by_sigterm(tmp_path: Path) -> None:
    """The program's last words come through a pipe, whose end is that of the program."""
    program = (
        # Not by print(): the signal may come while that is still at it, and it is not reentrant.
        "import os, signal, sys\n"
        "def bye(*_):\n    os.write(1, b'SIGTERM\\n')\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, bye)\n"
        "os.write(1, b'ready\\n')\n"
        "while True:\n    signal.pause()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, leash.__file__, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        owner.send_signal(signal.SIGKILL)
        assert owner.communicate(timeout=20)[0] == "SIGTERM\n"
    finally:
        owner.kill()
        owner.wait()
