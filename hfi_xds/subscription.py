"""What both variants of the protocol keep of one type on one stream, and answer of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hfi_xds.ledger import Ledger
from hfi_xds.resource_types import TypeRules
from hfi_xds.resources import Resource


class Subscription:
    """What a client wants of one type, and what it was sent."""

    def __init__(self, type_url: str, rules: TypeRules, ledger: Ledger) -> None:
        self._type_url = type_url
        self._rules = rules
        self._ledger = ledger
        self._begun = False
        self._wildcard = False
        self._owed: set[str] = set()
        self._owes_response = False
        self._again = False

    @property
    def waiting(self) -> bool:
        """Whether the client has yet to answer what it was sent."""
        return self._ledger.waiting

    def taken(self, available: Mapping[str, Resource]) -> bool:
        """Whether the client has answered all that it was sent, and has rejected nothing of this."""
        return not self._ledger.waiting and not any(map(self._ledger.refused, available.values()))

    def has(self, resource: Resource) -> bool:
        """Whether the client has said that it has exactly this."""
        return self._ledger.held(resource)

    def refused(self, resource: Resource) -> bool:
        """Whether the client has rejected exactly this on this stream."""
        return self._ledger.refused(resource)

    def again(self) -> None:
        """The client needs once more what it was sent."""
        self._again = True
