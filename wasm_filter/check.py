"""Checks the Rust crates: format, lints, tests. Says so and does nothing where there is no cargo.

``HFI_REQUIRE_ALL=1`` makes a missing cargo an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = (
    ("cargo", "fmt", "--all", "--check"),
    ("cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"),
    ("cargo", "test", "--workspace", "--locked"),
)


def main() -> int:
    """0 when every step passed, or when there is no cargo and none is required."""
    if shutil.which("cargo") is None:
        print("wasm_filter: there is no cargo on PATH, so the Rust crates are not checked (https://rustup.rs)")
        return 1 if os.environ.get("HFI_REQUIRE_ALL") == "1" else 0
    for step in STEPS:
        print("+", *step, flush=True)
        done = subprocess.run(step, cwd=HERE)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
