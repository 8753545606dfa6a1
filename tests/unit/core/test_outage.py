from __future__ import annotations

import logging

import pytest

from hfi_core.outage import Outage

log = logging.getLogger("test")


def test_a_trouble_is_told_when_it_begins_now_and_then_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = 1000.0
    outage = Outage(log, "the watch", lambda: now)
    outage.over()
    for _ in range(2):
        for second in range(0, 150, 5):
            now += 5
            outage.failed(OSError(f"gone {second}"), 4.2)
        now += 1.25
        outage.over()
        outage.over()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == 2 * [
        ("WARNING", "the watch is interrupted: gone 0; trying again until it goes on"),
        ("WARNING", "the watch is still interrupted, after 60 s: gone 60"),
        ("WARNING", "the watch is still interrupted, after 120 s: gone 120"),
        ("INFO", "the watch goes on, after 146.2 s"),
    ]


def test_each_attempt_can_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    outage = Outage(log, "the watch", lambda: 0.0)
    outage.failed(OSError("gone"), 0.5)
    outage.failed(OSError("gone"), 1.0)
    assert caplog.messages[1:] == ["the watch: gone; trying again in 1.00 s"]
