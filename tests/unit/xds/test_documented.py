from __future__ import annotations

import re
from pathlib import Path

from hfi_xds import ledger, rejections, session, throttle, wire
from hfi_xds.settings import XdsSettings

TESTS = Path(__file__).parents[2]
DOCUMENT = (TESTS.parent / "docs/xds.md").read_text()


def test_the_tests_that_are_named_are_there() -> None:
    files = [*TESTS.glob("unit/xds/test_*.py"), *TESTS.glob("integration/test_xds_*.py")]
    files += [*TESTS.glob("integration/test_tls*.py"), TESTS / "integration/test_replicas.py"]
    there = {name for file in files for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.M)}
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    assert len(named) > 40
    assert named <= there, named - there


def test_each_row_of_the_checklist_has_tests() -> None:
    table = DOCUMENT.partition("## What is shown, and where")[2]
    rows = [line.split("|")[1:4] for line in table.splitlines() if re.match(r"\| [0-9]", line)]
    assert [int(number) for number, _, _ in rows] == list(range(1, 32))
    without = [number for number, _, tests in rows if not re.search(r"`test_\w+`", tests)]
    assert not without


def test_the_divergences_are_numbered() -> None:
    text = DOCUMENT.partition("## Where we deliberately differ")[2].partition("\n## ")[0]
    numbers = [int(number) for number in re.findall(r"^([0-9]+)\. \*\*", text, re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    # Who points to one points to one that there is.
    assert {int(number) for number in re.findall(r"number ([0-9]+) above", DOCUMENT)} <= set(numbers)


def test_the_limits_that_are_promised_are_those_that_there_are() -> None:
    settings = XdsSettings()
    table = DOCUMENT.partition("## What a client can cost")[2].partition("## ")[0]
    cells = [row.split("|")[2].strip() for row in table.splitlines() if row.startswith("|")][2:]
    assert cells == [
        f"{settings.max_streams:,}",
        f"{settings.max_streams_per_node:,}",
        f"{settings.hello_timeout_seconds:g} s",
        f"{settings.write_timeout_seconds:g} s",
        f"{settings.max_concurrent_pushes}; {throttle.HELD_SECONDS:g} s",
        f"{settings.max_message_bytes // 2**20} MiB",
        f"{session.MAX_NAMES:,}; {session.MAX_TEXT:,}",
        f"{ledger.MAX_UNANSWERED}",
        f"{wire.MAX_LABELS}; {wire.MAX_LABEL_TEXT}",
        f"{rejections.MAX_FOR_EACH}; {rejections.MAX_NODES:,}",
        f"{settings.max_connection_age_seconds / 60:g} min ± 10 %",
    ]
