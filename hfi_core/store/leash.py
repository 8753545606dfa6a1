"""Become another program that ends when the one that started it does. Run as a script, on its own:

``python -I -S leash.py PARENT_PID PROGRAM [ARGUMENT …]``

Linux kills no children with their parent, and a control plane that is killed (SIGKILL, out of memory) runs no
clean-up; without this its etcd would go on, and hold the data directory. ``PR_SET_PDEATHSIG`` is kept across
``execve``. It has to be asked for in the child, and a ``preexec_fn`` is not safe in a process with threads,
which gRPC makes ours; so the child begins as this script. SIGTERM, so that etcd ends as it should.

The kernel means the *thread* that started us by "parent": it must be one that lives on (the event loop's).
Where there is no prctl (not Linux) the program runs all the same, without a leash. This file imports nothing
of HFI, because it starts faster so.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> None:
    """Does not return, unless the parent is gone already."""
    parent, program = int(arguments[0]), list(arguments[1:])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # It died before we asked.
            return
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
