"""``python -m tests``: every test, by pytest under coverage; with arguments, what pytest makes of them.

Unit and integration tests go to two processes, each a file at a time: together they take two thirds of the time. The
end-to-end tests measure time, and so have the machine to themselves.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

PYTEST = (sys.executable, "-m", "coverage", "run", "-m", "pytest")
#: In the order that is written here: the longest files come first, and not as the last of all.
TOGETHER = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "tests/integration", "tests/unit")
ALONE = ("tests/e2e",)


def main(arguments: Sequence[str]) -> int:
    """The exit code of the first run that failed, or 0."""
    for run in [arguments] if arguments else [TOGETHER, ALONE]:
        done = subprocess.run([*PYTEST, *run], check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
