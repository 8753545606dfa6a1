"""The newest certificates that are good. Looks at the files once a second.

Laws:

1. What is served is never worse than it was: a file that is broken, missing, expired or not good yet changes nothing
   and is told. What is not good yet is taken when it is.
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
from hfi_core.tls.checks import NotYetValid
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
        self._good_from: datetime | None = None
        self._told_expiry: dict[str, datetime] = {}
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
        if signature == self._seen and not self._is_good_now():
            return
        try:
            self.current = load(self._files, self._now())
        except SettingsInvalid as error:
            if signature == self._doubtful:
                self._seen = signature
                self._good_from = error.begins if isinstance(error, NotYetValid) else None
                self.loads["refused"] += 1
                log.error("the new TLS files are not used, and the old ones go on: %s", error)
            self._doubtful = signature
            return
        self._seen, self._doubtful, self._good_from = signature, None, None
        self.loads["loaded"] += 1
        log.info(
            "TLS: new connections get the new certificate from %s, good until %s",
            self._files.cert,
            self.current.not_after.isoformat(timespec="minutes"),
        )

    def _is_good_now(self) -> bool:
        """What was not good yet at the last look."""
        return self._good_from is not None and self._good_from <= self._now()

    def _tell_expiry(self) -> None:
        self._tell_end(f"the certificate in {self._files.cert}", self.current.not_after, "clients turn away")
        if self.current.clients_not_after is not None:
            clients = f"the last authority in {self._files.client_ca}"
            self._tell_end(clients, self.current.clients_not_after, "no client is let in")

    def _tell_end(self, what: str, end: datetime, then: str) -> None:
        now = self._now()
        if (end - now).total_seconds() > SOON_SECONDS:
            return
        told = self._told_expiry.get(what)
        if told is None or (now - told).total_seconds() >= DAY_SECONDS:
            self._told_expiry[what] = now
            verb = "expires" if end > now else f"has expired: {then}"
            log.warning("%s %s (%s)", what, verb, end.isoformat(timespec="minutes"))
