"""What the store says of filters, as one immutable value: the modules there are, and who runs which. Pure.

A value that cannot be read leaves out itself alone, and is named in ``broken``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pydantic import ValidationError

from hfi_core.filters.manifest import Manifest
from hfi_core.filters.rollout import RolloutDocument
from hfi_core.policy.validation import shape_problems
from hfi_core.store.protocol import Entry, Listing

#: What a manifest's key begins with; its version follows.
MANIFESTS = "module/"
#: The key of the one document that says which nodes run which module.
ROLLOUT = "rollout"
#: A key that is written whenever a module is about to be deleted; what it holds does not matter, but its version does.
REMOVALS = "removals"


@dataclass(frozen=True)
class FilterState:
    """Everything at one revision. ``modules`` by version.

    ``document`` is None before the first replica has started; ``document_version`` is that of its last write.
    """

    revision: int
    document: RolloutDocument | None = None
    document_version: int = 0
    modules: Mapping[str, Manifest] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry], revision: int) -> FilterState:
        """The state that these entries say."""
        modules: dict[str, Manifest] = {}
        broken: dict[str, str] = {}
        document, document_version = None, 0
        for entry in entries:
            try:
                if entry.key == ROLLOUT:
                    document_version = entry.version
                    document = RolloutDocument.model_validate_json(entry.value)
                if not entry.key.startswith(MANIFESTS):
                    continue
                manifest = Manifest.model_validate_json(entry.value)
            except ValidationError as error:
                broken[entry.key] = "; ".join(map(str, shape_problems(error)))
                continue
            if MANIFESTS + manifest.version == entry.key:
                modules[manifest.version] = manifest
            else:
                broken[entry.key] = f"it says that it is version {manifest.version}"
        return cls(revision, document, document_version, MappingProxyType(modules), MappingProxyType(broken))

    @classmethod
    def listed(cls, listing: Listing) -> FilterState:
        """The state that a listing says."""
        return cls.of(listing.entries, listing.revision)

    def role(self, manifest: Manifest) -> Literal["stable", "candidate"] | None:
        """What nodes run that module as; None when none is to."""
        if self.document is None:
            return None
        if self.document.stable.digest == manifest.digest:
            return "stable"
        active = self.document.active
        return "candidate" if active is not None and active.candidate.digest == manifest.digest else None

    def by_digest(self, digest: str) -> Manifest | None:
        """The module with that digest."""
        return next((manifest for manifest in self.modules.values() if manifest.digest == digest), None)
