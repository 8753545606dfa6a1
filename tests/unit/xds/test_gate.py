from __future__ import annotations

import asyncio

from hfi_xds.gate import FULL, STOPPING, Gate


def test_no_more_than_the_limit() -> None:
    gate = Gate(2)
    with gate.holding(asyncio.Event().set):
        assert gate.refusal() is None
        with gate.holding(asyncio.Event().set):
            assert gate.refusal() is FULL
        assert gate.refusal() is None


def test_closing_wakes_everybody_and_lets_nobody_in() -> None:
    gate, wake = Gate(1), asyncio.Event()
    with gate.holding(wake.set):
        gate.close()
        assert gate.closed
        assert wake.is_set()
        # Why it is full is no longer the point: to come again here is useless.
        assert gate.refusal() is STOPPING
    assert gate.refusal() is STOPPING
