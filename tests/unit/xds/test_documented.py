from __future__ import annotations

import re
from pathlib import Path

from hfi_xds import ledger, rejections, session, wire
from hfi_xds.settings import XdsSettings

TESTS = Path(__file__).parents[2]
DOCUMENT = (TESTS.parent / "docs/xds.md").read_text()


def test_the_tests_that_are_named_are_there() -> None:
    files = [*TESTS.glob("unit/xds/test_*.py"), *TESTS.glob("integration/test_xds_*.py")]
    there = {name for file in files for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.M)}
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    assert len(named) > 40
    assert named <= there, named - there


def test_the_limits_that_are_promised_are_those_that_there_are() -> None:
    settings = XdsSettings()
    table = DOCUMENT.partition("## What a client can cost")[2].partition("## ")[0]
    cells = [row.split("|")[2].strip() for row in table.splitlines() if row.startswith("|")][2:]
    assert cells == [
        f"{settings.max_streams:,}",
        f"{settings.hello_timeout_seconds:g} s",
        f"{settings.write_timeout_seconds:g} s",
        f"{settings.max_message_bytes // 2**20} MiB",
        f"{session.MAX_NAMES:,}; {session.MAX_TEXT:,}",
        f"{ledger.MAX_UNANSWERED}",
        f"{wire.MAX_LABELS}; {wire.MAX_LABEL_TEXT}",
        f"{rejections.MAX_FOR_EACH}; {rejections.MAX_NODES:,}",
        f"{settings.max_connection_age_seconds / 60:g} min ± 10 %",
    ]
