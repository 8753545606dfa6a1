"""The control plane's part that serves whole sidecars: the documents of clusters, and what they come to."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from hfi_core.following import Follower
from hfi_core.sidecars.document import Sidecars
from hfi_core.sidecars.service import ROOM, SidecarService
from hfi_core.store.protocol import Store
from hfi_xds.sidecar_source import SidecarSource

log = logging.getLogger(__name__)


class SidecarLife:
    """Its parts, put together over a room beside ``store``, which the caller starts and closes (``room``)."""

    def __init__(self, store: Store) -> None:
        self.room = store.beside(ROOM)
        self.source = SidecarSource()
        self._documents = Follower("sidecar documents", self.room, Sidecars.of)
        self.service = SidecarService(self.room, self._documents)

    def work(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run for as long as the control plane, with its name."""
        yield "following of sidecar documents", self._documents.run()
        yield "serving of sidecars", self._publish()

    async def _publish(self) -> None:
        """Serve each document as the store's watch tells of it."""
        async for documents in self._documents.follow():
            for cluster, why in documents.broken.items():
                log.error(
                    "the sidecar document of %s cannot be read; its proxies keep what they have: %s", cluster, why
                )
            self.source.publish(documents.wishes(), documents.broken.keys(), changes=self._documents.changes)
