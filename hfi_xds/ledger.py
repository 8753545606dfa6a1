"""What was sent on one stream for one type, under which nonce, and what became of it. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
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

    def sent(self, nonce: str, resources: Iterable[Resource]) -> None:
        """A response has been made of these."""
        contents = tuple((resource.name, resource.version) for resource in resources)
        self._unanswered[nonce] = contents
        if len(self._unanswered) > MAX_UNANSWERED:
            self._unanswered.popitem(last=False)
        for name, version in contents:
            self._say(name, version, "sent")

    def answered(self, nonce: str, error: Rejection | None) -> bool:
        """The client has answered that nonce: yes, or no when there is an error. False: no such nonce is open."""
        contents = self._unanswered.pop(nonce, None)
        if contents is None:
            return False
        for name, version in contents:
            if error is None:
                self.holds(name, version)
            else:
                self._rejections.add(self._node_id, self._type_url, name, version)
                self._say(name, version, "nacked", error.message[:MAX_MESSAGE])
        return True

    def holds(self, name: str, version: str) -> None:
        """The client says that it has this content. Whether it runs it is another question."""
        if self._rejections.has(self._node_id, self._type_url, name, version):
            self._say(name, version, "not_applied", NOT_APPLIED)
        else:
            self._say(name, version, "acked")

    def stale(self) -> None:
        """The client has answered something that is not open."""
        self._events.append(StaleNonce(self._type_url))

    def rejected(self, resource: Resource) -> bool:
        """Whether this node has rejected exactly this, on whatever stream."""
        return self._rejections.has_resource(self._node_id, resource)

    def _say(self, name: str, version: str, state: ResourceState, message: str = "") -> None:
        self._events.append(ResourceStatus(self._type_url, name, version, state, message))
