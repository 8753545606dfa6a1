from __future__ import annotations

import gc

from hfi_cli import collector


def test_what_there_is_at_the_start_is_not_looked_at_again() -> None:
    before = gc.get_threshold()
    try:
        collector.settle()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold() == collector.THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
