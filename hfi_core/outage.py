"""Telling of a trouble that is tried again and again: when it begins, now and then while it lasts, and its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

#: Between two words about one that lasts. What is tried every few seconds would hide all else.
REMIND_SECONDS = 60.0


class Outage:
    """Of ``what``, in the words of a log. ``clock`` answers seconds, from any beginning."""

    def __init__(self, log: logging.Logger, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._what = what
        self._clock = clock
        self._began: float | None = None
        self._told = 0.0

    def failed(self, error: Exception, pause: float) -> None:
        """An attempt has failed, and the next one is ``pause`` seconds away."""
        now = self._clock()
        if self._began is None:
            self._began = self._told = now
            self._log.warning("%s is interrupted: %s; trying again until it goes on", self._what, error)
        elif now - self._told >= REMIND_SECONDS:
            self._told = now
            self._log.warning("%s is still interrupted, after %.0f s: %s", self._what, now - self._began, error)
        else:
            self._log.debug("%s: %s; trying again in %.2f s", self._what, error, pause)

    def over(self) -> None:
        """It goes well; nothing is said of what had not failed."""
        if self._began is not None:
            self._log.info("%s goes on, after %.1f s", self._what, self._clock() - self._began)
            self._began = None
