"""The ``kind: Sidecar`` document: ``metadata.name`` is the cluster (``node.cluster``) that it is for. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    model_validator,
)

from hfi_core.errors import DocumentUnreadable, Problem, SettingsInvalid, SidecarInvalid
from hfi_core.policy.base import ApiDocument, Document, check, given
from hfi_core.policy.documents import parse_json
from hfi_core.policy.model import Metadata
from hfi_core.policy.validation import shape_problems
from hfi_core.sidecars.model import Wish, listen_address, log_path, upstream_addresses
from hfi_core.store.protocol import Entry

KIND = "Sidecar"
T = TypeVar("T")


def _checked(parse: Callable[[T], object]) -> Callable[[T], T]:
    """Says what is wrong at the place where it is wrong, and keeps what is right as it was written."""

    def validated(value: T) -> T:
        try:
            parse(value)
        except SettingsInvalid as error:
            check(False, str(error))
        return value

    return validated


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class SidecarSpec(Document):
    """What it says. ``upstream`` may be written as one address.

    One of ``listen`` and ``upstream`` may be left to the node itself; a document with neither would make no sidecar.
    """

    listen: Annotated[StrictStr, AfterValidator(_checked(listen_address))] | None = None
    upstream: (
        Annotated[tuple[StrictStr, ...], BeforeValidator(_listed), AfterValidator(_checked(upstream_addresses))] | None
    ) = None
    access_log: Annotated[Annotated[StrictStr, AfterValidator(_checked(log_path))] | None, Field(alias="accessLog")] = (
        None
    )
    bandwidth: StrictBool | None = None

    @model_validator(mode="after")
    def _says_where_or_for_whom(self) -> Self:
        check(
            len(given(self, ("listen", "upstream"))) > 0,
            "needs listen, upstream or both; what it leaves out, each node's metadata has to say (hfi.listen, "
            "hfi.upstream)",
        )
        return self


class SidecarDocument(ApiDocument):
    """A ``kind: Sidecar`` document."""

    api_version: Annotated[Literal["v1", "hfi.dev/v1"], Field(alias="apiVersion")]
    kind: Literal["Sidecar"]
    metadata: Metadata
    spec: SidecarSpec

    @classmethod
    def of(cls, document: Any) -> Self:
        """The document, checked. Raises :class:`~hfi_core.errors.SidecarInvalid` with every problem at once."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise SidecarInvalid(shape_problems(error)) from error

    @property
    def name(self) -> str:
        """The cluster that it is for."""
        return self.metadata.name

    @property
    def wish(self) -> Wish:
        """What it says of the sidecars of its cluster."""
        spec = self.spec
        return Wish(
            None if spec.listen is None else listen_address(spec.listen),
            None if spec.upstream is None else upstream_addresses(spec.upstream),
            spec.access_log,
            spec.bandwidth,
        )

    def document(self, version: int | None) -> dict[str, Any]:
        """The document as JSON values, carrying that version."""
        text = None if version is None else str(version)
        whole = self.model_copy(update={"metadata": self.metadata.model_copy(update={"version": text})})
        return whole.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def encode(document: SidecarDocument) -> bytes:
    """The value to store; the version is the revision that the store gives this write."""
    return json.dumps(document.document(None), separators=(",", ":"), ensure_ascii=False).encode()


def decode(entry: Entry) -> SidecarDocument:
    """What lies under a key. Raises :class:`~hfi_core.errors.SidecarInvalid`."""
    try:
        document = SidecarDocument.of(parse_json(entry.value.decode()))
    except (DocumentUnreadable, ValueError) as error:
        raise SidecarInvalid([Problem("", f"not a stored sidecar: {error!r}")]) from error
    if document.name != entry.key:
        raise SidecarInvalid([Problem("/metadata/name", f"does not agree with its key, {entry.key!r}")])
    return document


@dataclass(frozen=True)
class StoredSidecar:
    """A document as the store has it; ``version`` is the revision of its last write."""

    document: SidecarDocument
    version: int

    def as_json(self) -> dict[str, Any]:
        """As the API answers it."""
        return self.document.document(self.version)


@dataclass(frozen=True)
class Sidecars:
    """All of them at one revision. One that cannot be read is left out, and named in ``broken``."""

    version: int
    by_cluster: Mapping[str, StoredSidecar] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[Entry], revision: int) -> Self:
        """Of all that the store holds."""
        found: dict[str, StoredSidecar] = {}
        broken: dict[str, str] = {}
        for entry in entries:
            try:
                found[entry.key] = StoredSidecar(decode(entry), entry.version)
            except SidecarInvalid as error:
                broken[entry.key] = str(error)
        return cls(revision, MappingProxyType(dict(sorted(found.items()))), MappingProxyType(broken))

    def wishes(self) -> Mapping[str, Wish]:
        """What each cluster's document says."""
        return {cluster: stored.document.wish for cluster, stored in self.by_cluster.items()}
