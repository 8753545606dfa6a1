"""The control plane's part that makes several of them one: who is connected to whom, and what nodes have rejected."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from importlib.metadata import version
from typing import Any

from hfi_core.clock import now_ms
from hfi_core.feed import Feed
from hfi_core.proxies import ProxyRegistry
from hfi_core.replicas.documents import Replica
from hfi_core.replicas.fleet import Membership, new_id
from hfi_core.replicas.keeping_up import keep_up
from hfi_core.store.protocol import Store
from hfi_xds.rejection_keeper import RejectionKeeper
from hfi_xds.rejections import Rejections

#: Where status and rejections lie, beside the policies.
STATUS, REJECTIONS = "status", "rejections"


class ReplicaLife:
    """Its parts, put together over rooms beside ``store``, which the caller starts and closes (``rooms``)."""

    def __init__(self, store: Store, proxies: ProxyRegistry, feed: Feed) -> None:
        status, rejected = self.rooms = (store.beside(STATUS), store.beside(REJECTIONS))
        self.membership = Membership(Replica(new_id(), now_ms(), version("hfi"), None), status, proxies, feed)
        self._feed = feed
        self._keeper = RejectionKeeper(rejected)

    @property
    def rejections(self) -> Rejections:
        """What each node has rejected, at whichever replica."""
        return self._keeper.rejections

    def work(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run for as long as the control plane, with its name."""
        yield "status of other replicas", self.membership.others.run()
        yield "status for other replicas", self.membership.run()
        yield "keeping up with other replicas", keep_up(self.membership.others, self._feed)
        yield "following of rejections", self._keeper.followed.run()
        yield "keeping of rejections", self._keeper.run()

    async def ready(self) -> None:
        """Return when it is known what nodes have rejected: before, an acknowledgement could be believed wrongly."""
        await self._keeper.ready.wait()
