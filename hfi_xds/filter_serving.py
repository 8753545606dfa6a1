"""Serves each node the module that the rollout document gives it: the one that puts modules into the resource source.

What cannot be read from the store (away, or damaged) changes nothing: what is served goes on, and it is tried again. A
candidate that cannot be read is not served, and its nodes keep the stable module.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from hfi_core.errors import ModuleUnavailable, StoreError
from hfi_core.filters.catalogue import ModuleCatalogue
from hfi_core.filters.rollout import Assignment, Rollout, RolloutDocument
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.modules.catalogue import FILTER, FilterModule
from hfi_core.modules.filter_config import FilterConfig
from hfi_core.snapshot import NodeIdentity
from hfi_xds.filter_resource import filter_resource
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.source import ResourceSource

log = logging.getLogger(__name__)

#: Before what could not be read is read again.
RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Assigned:
    """Resources by node: those with the candidate for whom the rollout covers, the stable ones for the rest."""

    stable: ResourceSnapshot
    candidate: ResourceSnapshot | None = None
    rollout: Rollout | None = None

    def for_node(self, node: NodeIdentity) -> ResourceSnapshot:
        """What this node is served."""
        if self.candidate is not None and self.rollout is not None and self.rollout.covers(node):
            return self.candidate
        return self.stable


class FilterServing:
    """Publishes to ``source`` what ``filters`` say. ``config`` is the filter's; its generation is the document's."""

    def __init__(
        self, filters: Follower[FilterState], catalogue: ModuleCatalogue, source: ResourceSource, config: FilterConfig
    ) -> None:
        self._filters = filters
        self._catalogue = catalogue
        self._source = source
        self._config = config
        #: What is served now, so that a change builds only what is new; a module is a megabyte.
        self._built: dict[Assignment, Resource] = {}
        #: What has been complained about, so that it is said once and not with every attempt.
        self._said: set[str] = set()
        self._trouble = "the store has no stable filter module yet"

    def version(self, assignment: Assignment) -> str | None:
        """The version of the resource that serves it; None while it is not served."""
        resource = self._built.get(assignment)
        return resource.version if resource is not None else None

    @property
    def trouble(self) -> str | None:
        """Why no module is served at all, in words; None once one is: then that goes on, whatever becomes of others."""
        if self._built:
            return None
        return self._trouble if self._filters.current is not None else self._filters.trouble

    async def run(self) -> None:
        """For ever; ends only by cancellation."""
        async for state in self._filters.follow():
            self._said &= {f"{key}: {why}" for key, why in state.broken.items()}
            for key, why in state.broken.items():
                self._complain(f"{key}: {why}", "what the store says of filters cannot be read")
            while state.document is not None and not await self._serve(state, state.document):
                await self._filters.changed_from(state, within=RETRY_SECONDS)
                if self._filters.current is not state:
                    break

    async def _serve(self, state: FilterState, document: RolloutDocument) -> bool:
        """Whether all of it could be served."""
        active = document.active
        stable = await self._resource(state, document.stable)
        candidate = await self._resource(state, active.candidate) if active is not None else None
        if stable is None:
            return False
        built = {document.stable: stable}
        if active is not None and candidate is not None:
            built[active.candidate] = candidate
        self._built = built
        served = Assigned(ResourceSnapshot.of(stable))
        if active is not None and candidate is not None:
            served = Assigned(served.stable, ResourceSnapshot.of(candidate), active)
        self._source.publish(served)
        return active is None or candidate is not None

    async def _resource(self, state: FilterState, assignment: Assignment) -> Resource | None:
        if assignment in self._built:
            return self._built[assignment]
        manifest = state.by_digest(assignment.digest)
        if manifest is None:
            self._complain(
                f"{assignment.version} ({assignment.digest[:12]})", "a filter module is not in the catalogue"
            )
            return None
        try:
            code = await self._catalogue.code(manifest)
        except (ModuleUnavailable, StoreError) as error:
            self._complain(str(error), "a filter module cannot be served yet")
            return None
        module = FilterModule(FILTER, manifest.version, manifest.digest, code)
        config = self._config.model_copy(update={"generation": assignment.generation})
        return filter_resource(module, config)

    def _complain(self, of: str, what: str) -> None:
        self._trouble = f"{what}: {of}"
        if of not in self._said:
            self._said.add(of)
            log.error("%s: %s", what, of)
