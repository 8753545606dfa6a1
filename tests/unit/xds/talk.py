"""Both ends of a conversation, without a wire: what a client says, what is served, and what it is sent.

Resources are written as ``name=content``; their versions follow from the contents.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic

from hfi_core.proxies import ResourceStatus
from hfi_core.snapshot import NodeIdentity
from hfi_xds.ledger import Event
from hfi_xds.messages import DeltaRequest, DeltaResponse, Hello, Rejection, SotwRequest, SotwResponse
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import EXTENSION_CONFIG
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.session import RequestT, ResponseT, Session, delta_session, sotw_session

HELLO = Hello(NodeIdentity.of("checkout-1", "checkout"), "envoy/1.40.0")
NO = Rejection(13, "Unable to create Wasm plugin hfi")


def of(type_url: str = EXTENSION_CONFIG, **contents: str) -> list[Resource]:
    return [Resource.of(type_url, name, content.encode()) for name, content in contents.items()]


def version(content: str, type_url: str = EXTENSION_CONFIG) -> str:
    """The version that this content has."""
    return Resource.of(type_url, "", content.encode()).version


def contents(resources: Iterable[Resource]) -> dict[str, str]:
    return {resource.name: resource.body.decode() for resource in resources}


class Talk(Generic[RequestT, ResponseT]):
    """One stream, about one type. Each method answers what the client is sent in consequence."""

    def __init__(self, session: Session[RequestT, ResponseT], type_url: str, **served: str) -> None:
        self.session = session
        self._type_url = type_url
        self._snapshot = ResourceSnapshot.of()
        self.serves(**served)

    def serves(self, **served: str) -> list[ResponseT]:
        """From now on this, and nothing else, is there."""
        return self.serves_all(of(self._type_url, **served))

    def serves_all(self, resources: Iterable[Resource]) -> list[ResponseT]:
        self._snapshot = ResourceSnapshot.of(*resources, types=[self._type_url])
        return self.due()

    def due(self) -> list[ResponseT]:
        found = []
        while (response := self.session.next(self._snapshot)) is not None:
            found.append(response)
        return found

    def events(self) -> list[Event]:
        return list(self.session.take_events())

    def states(self) -> list[tuple[str, str, str]]:
        """What has become of resources, as (name, start of the version, state)."""
        return [(e.name, e.digest, e.state) for e in self.session.take_events() if isinstance(e, ResourceStatus)]


class DeltaTalk(Talk[DeltaRequest, DeltaResponse]):
    def __init__(self, type_url: str = EXTENSION_CONFIG, rejections: Rejections | None = None, **served: str) -> None:
        super().__init__(delta_session(rejections or Rejections()), type_url, **served)

    def says(self, *subscribe: str, **more: Any) -> list[DeltaResponse]:
        self.session.receive(DeltaRequest(self._type_url, subscribe, hello=HELLO, **more))
        return self.due()


class SotwTalk(Talk[SotwRequest, SotwResponse]):
    def __init__(self, type_url: str = EXTENSION_CONFIG, rejections: Rejections | None = None, **served: str) -> None:
        super().__init__(sotw_session(rejections or Rejections()), type_url, **served)

    def says(self, *names: str, **more: Any) -> list[SotwResponse]:
        self.session.receive(SotwRequest(self._type_url, names, hello=HELLO, **more))
        return self.due()


def sent(responses: Iterable[DeltaResponse | SotwResponse]) -> list[dict[str, str]]:
    """The contents of each response, by name."""
    return [contents(response.resources) for response in responses]
