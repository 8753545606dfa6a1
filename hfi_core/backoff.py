"""Waiting longer and longer between attempts, by chance, so that replicas do not come back all at once."""

from __future__ import annotations

import random


class Backoff:
    """Doubling from ``low`` to ``high`` seconds; each wait is between half of it and all of it."""

    def __init__(self, low: float, high: float) -> None:
        self._low = low
        self._high = high
        self._next = low

    def reset(self) -> None:
        """It went well: begin again at ``low``."""
        self._next = self._low

    def next(self) -> float:
        """How long to wait now, in seconds."""
        wait = self._next * random.uniform(0.5, 1.0)
        self._next = min(self._high, self._next * 2)
        return wait
