"""Checks the Rust crates: format, lints, tests. Says so and does nothing where there is no cargo.

Where ``LLVM_COV`` and ``LLVM_PROFDATA`` name LLVM's tools the tests are run with their coverage (``coverage.sh``), and
not a second time without. ``HFI_REQUIRE_ALL=1`` makes it an error that cargo is missing or that no tools are named.
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
)
TESTS = ("cargo", "test", "--workspace", "--locked")
TESTS_WITH_COVERAGE = ("sh", "coverage.sh")


def main() -> int:
    """0 when every step passed, or when there is no cargo and none is required."""
    required = os.environ.get("HFI_REQUIRE_ALL") == "1"
    if shutil.which("cargo") is None:
        print("wasm_filter: there is no cargo on PATH, so the Rust crates are not checked (https://rustup.rs)")
        return 1 if required else 0
    covered = "LLVM_COV" in os.environ and "LLVM_PROFDATA" in os.environ
    if required and not covered:
        print("wasm_filter: LLVM_COV and LLVM_PROFDATA name no tools, so no coverage would be measured (coverage.sh)")
        return 1
    for step in (*STEPS, TESTS_WITH_COVERAGE if covered else TESTS):
        print("+", *step, flush=True)
        done = subprocess.run(step, cwd=HERE)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
