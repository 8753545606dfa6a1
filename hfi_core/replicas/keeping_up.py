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

    def furthest(told: Told) -> int:
        """The newest version that one of them serves; 0 when none is of the same life of the store."""
        epoch = feed.current.epoch if feed.current is not None else None
        return max((at.version for at in documents.positions(told.entries) if at.epoch == epoch), default=0)

    def behind(told: Told) -> bool:
        return feed.current is not None and furthest(told) > feed.current.version

    while True:
        await others.until(behind)
        await asyncio.sleep(GRACE_SECONDS)
        if feed.current is not None:
            await feed.catch_up(furthest(others.required()), feed.current.epoch)
