"""The newest certificates that are good. Looks at the files once a second.

Laws:

1. What is served is never worse than it was: a file that is broken, missing or expired changes nothing and is told.
2. Only new connections see a change. What is open goes on, for no one would gain by its end.
3. What is broken is told when it is still so at the next look: replacing files one by one is no mistake.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from hfi_core.errors import SettingsInvalid
from hfi_core.tls.material import TlsFiles, TlsMaterial, load, utc_now

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
#: So many seconds before its end, and from then on once a day, an expiry is told.
SOON_SECONDS = 7 * 86_400
DAY_SECONDS = 86_400


class Certificates:
    """Raises :class:`~hfi_core.errors.SettingsInvalid` when the files are no good to begin with.

    ``current`` may be read from any thread. ``loads`` counts by result: ``loaded`` (without the first), ``refused``.
    """

    def __init__(self, files: TlsFiles, now: Callable[[], datetime] = utc_now) -> None:
        self._files = files
        self._now = now
        self._seen = files.signature()
        self._doubtful: tuple[object, ...] | None = None
        self._told_expiry: datetime | None = None
        self.loads: Counter[str] = Counter(loaded=0, refused=0)
        self.current: TlsMaterial = load(files, now())

    @property
    def mutual(self) -> bool:
        """Whether clients need a certificate."""
        return self._files.client_ca is not None

    async def follow(self) -> None:
        """Look again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Take what has changed since the last look."""
        self._tell_expiry()
        signature = self._files.signature()
        if signature == self._seen:
            return
        try:
            self.current = load(self._files, self._now())
        except SettingsInvalid as error:
            if signature == self._doubtful:
                self._seen = signature
                self.loads["refused"] += 1
                log.error("the new TLS files are not used, and the old ones go on: %s", error)
            self._doubtful = signature
            return
        self._seen, self._doubtful = signature, None
        self.loads["loaded"] += 1
        log.info(
            "TLS: new connections get the new certificate from %s, good until %s",
            self._files.cert,
            self.current.not_after.isoformat(timespec="minutes"),
        )

    def _tell_expiry(self) -> None:
        now, end = self._now(), self.current.not_after
        if (end - now).total_seconds() > SOON_SECONDS:
            return
        if self._told_expiry is None or (now - self._told_expiry).total_seconds() >= DAY_SECONDS:
            self._told_expiry = now
            verb = "expires" if end > now else "has expired: clients turn away"
            log.warning("the certificate in %s %s (%s)", self._files.cert, verb, end.isoformat(timespec="minutes"))
