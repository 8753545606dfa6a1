"""What was sent on one stream for one type, under which nonce, and what became of it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hfi_core.proxies import ResourceState, ResourceStatus
from hfi_xds.messages import Rejection
from hfi_xds.rejections import Rejections
from hfi_xds.resources import Resource

#: A client that never answers must not cost memory; of its answers to older responses nothing is learned.
MAX_UNANSWERED = 64
#: Envoy's words may hold whole configurations; this is enough to say what is wrong.
MAX_MESSAGE = 1_024

NOT_APPLIED = (
    "acknowledged, but this node has rejected the same content before, and Envoy then keeps what it had; "
    "it takes it when its content differs (raise the filter's generation)"
)


@dataclass(frozen=True, slots=True)
class StaleNonce:
    """A request answered a nonce that is not outstanding on this stream."""

    type_url: str


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A request asked for a type that HFI knows nothing of. It is not answered, and the stream goes on."""

    type_url: str


Event = ResourceStatus | StaleNonce | UnknownType


class Ledger:
    """For one type on one stream. Events are appended to ``events``, which the session owns."""

    def __init__(self, type_url: str, node_id: str, rejections: Rejections, events: list[Event]) -> None:
        self._type_url = type_url
        self._node_id = node_id
        self._rejections = rejections
        self._events = events
        self._unanswered: OrderedDict[str, tuple[tuple[str, str], ...]] = OrderedDict()
        self._last = ""
        #: By name: the version that the client last said yes to on this stream, and the one that it said no to since.
        self._held: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        #: Of what it said no to, what shared its response with others: nobody knows which of them was to blame.
        self._suspects: dict[str, Mapping[str, str]] = {}

    @property
    def waiting(self) -> bool:
        """Whether the client has yet to answer the last response."""
        return self._last in self._unanswered

    def held(self, resource: Resource) -> bool:
        """Whether the client last said on this stream that it has exactly this."""
        return self._held.get(resource.name) == resource.version

    def refused(self, resource: Resource) -> bool:
        """Whether the client has rejected exactly this on this stream, where it may well be another than before."""
        return self._refused.get(resource.name) == resource.version

    def cleared(self, resource: Resource, available: Mapping[str, Resource]) -> bool:
        """Whether it was rejected together with others, and one of those is no longer what it was: ask again."""
        if not self.refused(resource):
            return False
        together = self._suspects.get(resource.name, {})
        return any(name not in available or available[name].version != then for name, then in together.items())

    @property
    def runs(self) -> Mapping[str, str]:
        """The version that the client last said it has, by name."""
        return self._held

    def beat(self, nonce: str) -> None:
        """A response has been made that says nothing new: nothing follows from its answer."""
        self.sent(nonce, ())

    def sent(self, nonce: str, resources: Iterable[Resource]) -> None:
        """A response has been made of these."""
        contents = tuple((resource.name, resource.version) for resource in resources)
        self._unanswered[nonce] = contents
        self._last = nonce
        if len(self._unanswered) > MAX_UNANSWERED:
            self._unanswered.popitem(last=False)
        for name, version in contents:
            if self._refused.get(name) == version:
                self._suspects.pop(name, None)  # The answer will say.
            self._say(name, version, "sent")

    def answered(self, nonce: str, error: Rejection | None) -> bool:
        """The client has answered that nonce: yes, or no when there is an error. False: no such nonce is open."""
        contents = self._unanswered.pop(nonce, None)
        if contents is None:
            return False
        if error is not None:
            self._reject(contents, error.words[:MAX_MESSAGE])
            return True
        for name, version in contents:
            self.holds(name, version)
        return True

    def _reject(self, contents: Iterable[tuple[str, str]], message: str) -> None:
        # A response is rejected whole, and with it what the client has had all along.
        new = [(name, version) for name, version in contents if self._held.get(name) != version] or [*contents]
        for name, version in new:
            self._refused[name] = version
            if len(new) > 1:
                self._suspects[name] = dict(new)
            else:
                self._suspects.pop(name, None)
                self._rejections.add(self._node_id, self._type_url, name, version)
            self._say(name, version, "nacked", message)

    def holds(self, name: str, version: str) -> None:
        """The client says that it has this content. Whether it runs it is another question."""
        self._held[name] = version
        self._refused.pop(name, None)
        self._suspects.pop(name, None)
        if self._rejections.has(self._node_id, self._type_url, name, version):
            self._say(name, version, "not_applied", NOT_APPLIED)
        else:
            self._say(name, version, "acked")

    def forget(self, names: Iterable[str]) -> None:
        """These are gone."""
        for name in names:
            self._held.pop(name, None)
            self._refused.pop(name, None)
            self._suspects.pop(name, None)

    def stale(self) -> None:
        """The client has answered something that is not open."""
        self._events.append(StaleNonce(self._type_url))

    def rejected(self, resource: Resource) -> bool:
        """Whether this node has rejected exactly this: by itself on whatever stream, or on this one."""
        return self.refused(resource) or self._rejections.has_resource(self._node_id, resource)

    def _say(self, name: str, version: str, state: ResourceState, message: str = "") -> None:
        self._events.append(ResourceStatus(self._type_url, name, version, state, message))
