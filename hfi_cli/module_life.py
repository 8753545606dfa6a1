"""The control plane's part that keeps the filter module: catalogue, rollout, serving, and the guard of rollouts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from hfi_core.dataplane import DataPlane
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.guard import RolloutGuard
from hfi_core.filters.metrics import FilterCollector
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.shipped import ship
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.modules.catalogue import FilterModule
from hfi_core.modules.filter_config import FilterConfig
from hfi_core.proxies import ProxyRegistry
from hfi_core.replicas.fleet import Membership
from hfi_core.store.protocol import Store
from hfi_xds.filter_resource import FILTER_NAME
from hfi_xds.filter_serving import FilterServing
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.source import ResourceSource


class ModuleLife:
    """Its parts, put together over rooms beside ``store``, which the caller starts and closes (``rooms``)."""

    def __init__(
        self,
        store: Store,
        config: FilterConfig,
        proxies: ProxyRegistry,
        data_plane: DataPlane,
        rejections: Rejections,
        fleet: Membership,
    ) -> None:
        manifests, pieces = self.rooms = (store.beside("filter"), store.beside("filter-pieces"))
        self.resources = ResourceSource()
        self.filters = Follower("filters", manifests, FilterState.of)
        self.modules = ModuleCatalogue(manifests, pieces)
        self.rollouts = RolloutService(manifests, self.filters)
        self.serving = FilterServing(self.filters, self.modules, self.resources, config)
        self.collector = FilterCollector(self.filters, self.rollouts, proxies, self.serving.version)
        self._guard = RolloutGuard(
            self.filters,
            self.rollouts,
            proxies,
            data_plane,
            self.serving.version,
            lambda node, version: rejections.has(node, EXTENSION_CONFIG, FILTER_NAME, version),
            fleet,
        )

    def work(self, shipped: FilterModule) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run for as long as the control plane, with its name; ``shipped`` is pushed if it is not there."""
        yield "following of filters", self.filters.run()
        yield "life of the filter module", self._live(shipped)
        yield "guard of rollouts", self._guard.run()

    async def _live(self, shipped: FilterModule) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ship(shipped, self.modules, self.rollouts, self.filters))
            del shipped  # A megabyte, which nobody needs once it is pushed.
            group.create_task(self.serving.run())
