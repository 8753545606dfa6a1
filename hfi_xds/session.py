"""One discovery stream, without its transport: requests and resources in, responses and events out. Pure.

Laws:

1. The first message says who the client is; the node of later ones is not read.
2. Each type is a conversation of its own. On the aggregated service a request names its type; on the service of one
   type it may leave it out, and must not name another.
3. Nothing is queued. :meth:`Session.next` computes what is due from the snapshot that it is given, so a slow client
   skips to the newest by itself.
4. What a stream can make us remember is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from hfi_core.snapshot import NodeIdentity
from hfi_xds.delta import DeltaSubscription
from hfi_xds.errors import StreamRefused
from hfi_xds.ledger import Event, Ledger, UnknownType
from hfi_xds.messages import DeltaRequest, DeltaResponse, Hello, SotwRequest, SotwResponse
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import RULES, TypeRules
from hfi_xds.resources import Resource, ResourceSnapshot
from hfi_xds.sotw import SotwSubscription

#: Names remembered on one stream, in all; far beyond what a sidecar has.
MAX_NAMES = 10_000
#: Of a node id, a resource's name, and a version. Envoy's own are shorter, and an xdstp URL fits.
MAX_TEXT = 1_024

RequestT = TypeVar("RequestT", bound=SotwRequest | DeltaRequest)
ResponseT = TypeVar("ResponseT", bound=SotwResponse | DeltaResponse)
_RequestIn = TypeVar("_RequestIn", contravariant=True)
_ResponseOut = TypeVar("_ResponseOut", covariant=True)


class Subscription(Protocol[_RequestIn, _ResponseOut]):
    """One type on one stream, in either variant."""

    @property
    def size(self) -> int:
        """How many names are remembered."""

    def receive(self, request: _RequestIn) -> None:
        """Take a request."""

    def next(self, available: Mapping[str, Resource], nonce: str) -> _ResponseOut | None:
        """The response that is due now, or None."""


class Session(Generic[RequestT, ResponseT]):
    """One stream. ``subscription`` makes the conversation about a type, and so decides the variant.

    ``only_type``: the type of a service that serves one; None on the aggregated service.
    """

    def __init__(
        self,
        subscription: Callable[[str, TypeRules, Ledger], Subscription[RequestT, ResponseT]],
        rejections: Rejections,
        only_type: str | None = None,
    ) -> None:
        self._subscription = subscription
        self._rejections = rejections
        self._only_type = only_type
        self._hello: Hello | None = None
        self._subscriptions: dict[str, Subscription[RequestT, ResponseT]] = {}
        self._events: list[Event] = []
        self._nonces = 0

    @property
    def hello(self) -> Hello | None:
        """What the client said of itself; None before its first message."""
        return self._hello

    @property
    def node(self) -> NodeIdentity | None:
        """The client's node; None before its first message."""
        return self._hello.node if self._hello else None

    def take_events(self) -> tuple[Event, ...]:
        """What has happened since this was last asked, in order."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def receive(self, request: RequestT) -> None:
        """Take a request. Raises :class:`StreamRefused` when the stream must end."""
        hello = self._identify(request.hello)
        type_url = self._type_of(request.type_url)
        rules = RULES.get(type_url)
        if rules is None:
            self._events.append(UnknownType(type_url))
            return
        if any(len(text) > MAX_TEXT for text in request.texts):
            raise StreamRefused("INVALID_ARGUMENT", f"a resource name or version longer than {MAX_TEXT} characters")
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            ledger = Ledger(type_url, hello.node.id, self._rejections, self._events)
            subscription = self._subscriptions[type_url] = self._subscription(type_url, rules, ledger)
        subscription.receive(request)
        if sum(known.size for known in self._subscriptions.values()) > MAX_NAMES:
            raise StreamRefused("RESOURCE_EXHAUSTED", f"more than {MAX_NAMES} resource names on one stream")

    def next(self, snapshot: ResourceSnapshot) -> ResponseT | None:
        """The next response that this snapshot makes due, or None. Types come in the order of :data:`RULES`."""
        nonce = str(self._nonces + 1)
        for type_url in RULES:
            subscription = self._subscriptions.get(type_url)
            if subscription is not None and type_url in snapshot.types:
                response = subscription.next(snapshot.types[type_url], nonce)
                if response is not None:
                    self._nonces += 1
                    return response
        return None

    def _identify(self, hello: Hello | None) -> Hello:
        if self._hello is None:
            if hello is None or not hello.node.id:
                raise StreamRefused("INVALID_ARGUMENT", "the first message of a stream must carry node.id")
            if len(hello.node.id) > MAX_TEXT:
                raise StreamRefused("INVALID_ARGUMENT", f"node.id is longer than {MAX_TEXT} characters")
            self._hello = hello
        return self._hello

    def _type_of(self, type_url: str) -> str:
        if self._only_type is None:
            if not type_url:
                raise StreamRefused("INVALID_ARGUMENT", "type_url is missing, and this service serves several types")
            return type_url
        if type_url not in ("", self._only_type):
            raise StreamRefused("INVALID_ARGUMENT", f"this service serves {self._only_type}, not {type_url}")
        return self._only_type


SotwSession = Session[SotwRequest, SotwResponse]
DeltaSession = Session[DeltaRequest, DeltaResponse]


def sotw_session(rejections: Rejections, only_type: str | None = None) -> SotwSession:
    """A stream that speaks state of the world."""
    return Session(SotwSubscription, rejections, only_type)


def delta_session(rejections: Rejections, only_type: str | None = None) -> DeltaSession:
    """A stream that speaks the incremental variant."""
    return Session(DeltaSubscription, rejections, only_type)
