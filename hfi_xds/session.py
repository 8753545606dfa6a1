"""One discovery stream, without its transport: requests and resources in, responses and events out. Pure.

Laws:

1. The first message says who the client is; the node of later ones is not read.
2. Each type is a conversation of its own. On the aggregated service a request names its type; on the service of one
   type it may leave it out, and must not name another.
3. Nothing is queued. :meth:`Session.next` computes what is due from the snapshot that it is given, so a slow client
   skips to the newest by itself.
4. What a stream can make us remember is bounded.
5. A change goes out in the order of :mod:`~hfi_xds.order`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Generic, Protocol, TypeVar

from hfi_core.snapshot import NodeIdentity
from hfi_xds.delta import DeltaSubscription
from hfi_xds.errors import StreamRefused
from hfi_xds.ledger import Event, Ledger, UnknownType
from hfi_xds.messages import DeltaRequest, DeltaResponse, Hello, SotwRequest, SotwResponse
from hfi_xds.order import Transition
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, RULES, TypeRules
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

    @property
    def waiting(self) -> bool:
        """Whether the client has yet to answer what it was sent."""

    def taken(self, available: Mapping[str, Resource]) -> bool:
        """Whether the client has answered all that it was sent, and has rejected nothing of this."""

    def has(self, resource: Resource) -> bool:
        """Whether the client has said that it has exactly this."""

    def refused(self, resource: Resource) -> bool:
        """Whether the client has rejected exactly this on this stream."""

    def heartbeat(self) -> None:
        """What the client has is to live on."""

    def again(self) -> None:
        """The client needs once more what it was sent."""

    def let_go(self) -> bool:
        """What the client has brought along and is gone may be taken away; False when there is nothing of that."""

    def receive(self, request: _RequestIn) -> bool:
        """Take a request; False when it only says yes, and nothing more of this type is due because of it."""

    def next(self, available: Mapping[str, Resource], nonce: str) -> _ResponseOut | None:
        """The response that is due now, or None."""


class Session(Generic[RequestT, ResponseT]):
    """One stream. ``subscription`` makes the conversation about a type, and so decides the variant.

    ``only_type``: the type of a service that serves one; None on the aggregated service. ``ttl_seconds``: how long what
    may expire lives without a heartbeat; 0: for ever.
    """

    def __init__(
        self,
        subscription: Callable[[str, TypeRules, Ledger], Subscription[RequestT, ResponseT]],
        rejections: Rejections,
        only_type: str | None = None,
        ttl_seconds: float = 0,
    ) -> None:
        self._subscription = subscription
        self._rejections = rejections
        self._only_type = only_type
        self._ttl_seconds = ttl_seconds
        self._hello: Hello | None = None
        self._subscriptions: dict[str, Subscription[RequestT, ResponseT]] = {}
        #: The same in the order in which they are served.
        self._ordered: list[tuple[str, TypeRules, Subscription[RequestT, ResponseT]]] = []
        #: Of this nothing was due, and nothing has been said since.
        self._settled: ResourceSnapshot | None = None
        self._events: list[Event] = []
        self._nonces = 0
        self._transition = Transition()
        self._finished = False

    @property
    def hello(self) -> Hello | None:
        """What the client said of itself; None before its first message."""
        return self._hello

    @property
    def node(self) -> NodeIdentity | None:
        """The client's node; None before its first message."""
        return self._hello.node if self._hello else None

    def asked_for(self, type_url: str) -> bool:
        """Whether the client has said anything of that type on this stream."""
        return type_url in self._subscriptions

    def take_events(self) -> tuple[Event, ...]:
        """What has happened since this was last asked, in order."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def settled(self, snapshot: ResourceSnapshot) -> bool:
        """Whether it is known without a further look that nothing of this snapshot is due."""
        return snapshot is self._settled

    def receive(self, request: RequestT) -> bool:
        """Take a request, and answer whether something may be due because of it.

        Raises :class:`StreamRefused` when the stream must end.
        """
        settled, self._settled = self._settled, None
        hello = self._identify(request.hello)
        type_url = self._type_of(request.type_url)
        rules = RULES.get(type_url)
        if rules is None:
            self._events.append(UnknownType(type_url))
            return True
        texts = request.texts
        if any(len(text) > MAX_TEXT for text in texts):
            raise StreamRefused("INVALID_ARGUMENT", f"a resource name or version longer than {MAX_TEXT} characters")
        subscription = self._subscriptions.get(type_url)
        if subscription is None:
            ledger = Ledger(type_url, hello.node.id, self._rejections, self._events)
            subscription = self._subscriptions[type_url] = self._subscription(type_url, rules, ledger)
            known = self._subscriptions
            self._ordered = [(url, of, known[url]) for url, of in RULES.items() if url in known]
            if self._ttl_seconds:
                # How long what it has lives still, nobody knows.
                subscription.heartbeat()
        due = subscription.receive(request)
        if self._only_type is not None:
            # Nothing else comes on this stream that could point to it.
            subscription.let_go()
        if texts and sum(known.size for known in self._subscriptions.values()) > MAX_NAMES:
            raise StreamRefused("RESOURCE_EXHAUSTED", f"more than {MAX_NAMES} resource names on one stream")
        # Of several types, others may have waited for this answer (``order``).
        if due or len(self._ordered) > 1:
            return True
        self._settled = settled
        return False

    def heartbeat(self) -> None:
        """What the client has, and what may expire, is to live on; to be called well within each ``ttl_seconds``."""
        self._settled = None
        for subscription in self._subscriptions.values():
            subscription.heartbeat()

    def finish(self) -> None:
        """The client will say nothing more, so nothing waits for what it would say."""
        self._settled = None
        self._finished = True

    def next(self, snapshot: ResourceSnapshot) -> ResponseT | None:
        """The next response that this snapshot makes due, or None."""
        if self.settled(snapshot):
            return None
        self._transition.take(snapshot, self._subscriptions)
        while True:
            response = self._next(snapshot)
            if response is not None:
                # Of one type alone all goes out at once, unless its resources go one by one.
                self._settled = snapshot if len(self._ordered) == 1 and not self._ordered[0][1].alone else None
                return response
            if self._waiting() or not self._clusters_taken(snapshot) or not self._let_go():
                self._settled = snapshot
                return None

    def _let_go(self) -> bool:
        """Let what is gone of one more type go, in the reverse order; False when there is nothing more."""
        for type_url, _, subscription in reversed(self._ordered):
            brought = subscription.let_go()
            if self._transition.let_go(type_url) or brought:
                return True
        return False

    def _next(self, snapshot: ResourceSnapshot) -> ResponseT | None:
        nonce = str(self._nonces + 1)
        for type_url, rules, subscription in self._ordered:
            if type_url not in snapshot.types:
                continue
            if rules.after_clusters and not self._clusters_taken(snapshot):
                continue
            response = subscription.next(self._transition.available(type_url, subscription), nonce)
            if response is not None:
                self._nonces += 1
                if type_url == CLUSTER:
                    self._warm(subscription, response.resources)
                if rules.expires and self._ttl_seconds:
                    return replace(response, ttl_seconds=self._ttl_seconds)
                return response
        return None

    def _warm(self, clusters: Subscription[RequestT, ResponseT], sent: Iterable[Resource]) -> None:
        """Envoy makes a cluster that has changed anew, and waits for its endpoints, although it has been sent them
        (envoyproxy/envoy#13009): after 15 s it would go on without any."""
        endpoints = self._subscriptions.get(ENDPOINT)
        if endpoints is not None and not all(map(clusters.has, sent)):
            endpoints.again()

    def _waiting(self) -> bool:
        return not self._finished and any(known.waiting for known in self._subscriptions.values())

    def _clusters_taken(self, snapshot: ResourceSnapshot) -> bool:
        clusters = self._subscriptions.get(CLUSTER)
        return self._finished or clusters is None or clusters.taken(snapshot.of_type(CLUSTER))

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


def sotw_session(rejections: Rejections, only_type: str | None = None, ttl_seconds: float = 0) -> SotwSession:
    """A stream that speaks state of the world."""
    return Session(SotwSubscription, rejections, only_type, ttl_seconds)


def delta_session(rejections: Rejections, only_type: str | None = None, ttl_seconds: float = 0) -> DeltaSession:
    """A stream that speaks the incremental variant."""
    return Session(DeltaSubscription, rejections, only_type, ttl_seconds)
