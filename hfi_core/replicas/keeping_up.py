"""This replica reads as far as the others have read.

Each serves the same rules, under versions that may differ for as long as no policy changes: who has listed the store is
at its newest revision, whatever that was about, and who watches is at the last change of a policy. A version is known
to be current only where it was served, so each would take the proxies of the others for outdated, for as long.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from hfi_core.feed import Feed
from hfi_core.following import Follower
from hfi_core.replicas import documents
from hfi_core.replicas.fleet import Told

#: A change of a policy is told of by another replica while it is on its way here; only what stays away is read.
GRACE_SECONDS = 1.0


async def keep_up(others: Follower[Told], feed: Feed) -> NoReturn:
    """For ever; ends only by cancellation."""

    def ahead(told: Told) -> bool:
        current = feed.current
        return current is not None and any(
            position.epoch == current.epoch and position.version > current.version
            for position in documents.positions(told.entries)
        )

    while True:
        await others.until(ahead)
        await asyncio.sleep(GRACE_SECONDS)
        for position in documents.positions(others.required().entries):
            await feed.catch_up(position.version, position.epoch)
