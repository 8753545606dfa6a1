"""Programs that tests need and that may be missing: skip and say how to get them, or fail where all is required."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

#: Set by CI: nothing may be skipped there.
REQUIRE_ALL = "HFI_REQUIRE_ALL"


def missing(what: str, command: str) -> NoReturn:
    """Skip the test that is running; fail it where everything is required."""
    text = f"{what} is missing; get it with: {command}"
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def executable(path: str | None) -> Path | None:
    """The path, when it is a program that can be run."""
    return Path(path) if path and os.access(path, os.X_OK) else None
