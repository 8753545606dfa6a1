"""State of the world: one type on one stream. Pure.

Laws (``docs/xds.md`` has the sources):

1. What is due is decided by what was *sent*, never by the client's ``version_info``.
2. A request with a nonce that is not the last one sent changes nothing; but its answer, if that nonce is still
   open, is heard. The first request of a type may carry any nonce: it is from another replica's stream. An empty
   nonce is not an answer and always counts: the client had seen no response yet.
3. A name that is new in a request is answered, even with what was sent before. A name that does not exist is
   remembered, and answered when it appears.
4. What this node has rejected is not sent again until its content changes; except that a name is always answered
   once, for a listener may be waiting, unless the client came back with something that it runs; and that what was
   rejected together with others is sent again when those have changed, for they may have been to blame.
"""

from __future__ import annotations

from collections.abc import Mapping

from hfi_xds.ledger import Ledger
from hfi_xds.messages import WILDCARD, SotwRequest, SotwResponse
from hfi_xds.resource_types import TypeRules
from hfi_xds.resources import Resource, combined_version
from hfi_xds.subscription import Subscription


class SotwSubscription(Subscription):
    """What a client wants of one type, and what it was sent."""

    def __init__(self, type_url: str, rules: TypeRules, ledger: Ledger) -> None:
        super().__init__(type_url, rules, ledger)
        self._named = False
        self._names: frozenset[str] = frozenset()
        self._last_nonce = ""
        self._sent: dict[str, str] = {}
        self._held: set[str] = set()
        #: What the client runs, as far as is known: to keep it alive, it is sent whole.
        self._runs: dict[str, Resource] = {}
        self._last_sent: dict[str, Resource] = {}
        self._beats: set[str] = set()

    @property
    def size(self) -> int:
        """How many names are subscribed."""
        return len(self._names)

    def heartbeat(self) -> None:
        """What the client has is to live on."""
        self._beats = set(self._names) if self._rules.expires else set()

    def _note_runs(self) -> None:
        self._runs |= {name: sent for name, sent in self._last_sent.items() if self._ledger.held(sent)}

    def let_go(self) -> bool:
        """A client says nothing of what it has: nothing can be kept for it."""
        return False

    def receive(self, request: SotwRequest) -> bool:
        """Take a request. What is wanted is said anew with each answer, so something may always be due."""
        self._take(request)
        return True

    def _take(self, request: SotwRequest) -> None:
        if not self._begun:
            self._begun = True
            # With a version, this is a client that comes back and runs something: law 4.
            self._held = set(request.names) if request.version else set()
            self._owes_response = self._rules.full_state
            self._subscribe(request.names)
            return
        known = bool(request.nonce) and self._ledger.answered(request.nonce, request.error)
        if request.nonce and request.nonce != self._last_nonce:
            if not known:
                self._ledger.stale()
            return
        self._subscribe(request.names)

    def _subscribe(self, requested: tuple[str, ...]) -> None:
        names = frozenset(requested) - {WILDCARD}
        self._named = self._named or bool(requested)
        wildcard = self._rules.wildcard and (WILDCARD in requested or not self._named)
        if wildcard and not self._wildcard:
            self._owes_response = True
        for name in self._names - names:
            self._owed.discard(name)
            self._held.discard(name)
            if not wildcard:
                self._sent.pop(name, None)
        self._owed |= names - self._names
        self._names, self._wildcard = names, wildcard

    def next(self, available: Mapping[str, Resource], nonce: str) -> SotwResponse | None:
        """The response that is due now, or None. Asking again gives the next one."""
        wanted = [resource for name, resource in available.items() if self._wildcard or name in self._names]
        due = self._due_of_full_state(wanted) if self._rules.full_state else self._due(wanted, available)
        if due is None:
            return self._heartbeat(nonce)
        if self._rules.expires:
            self._note_runs()
            self._last_sent |= {resource.name: resource for resource in due}
        for resource in due:
            self._sent[resource.name] = resource.version
            self._owed.discard(resource.name)
        self._owes_response = self._again = False
        self._last_nonce = nonce
        self._ledger.sent(nonce, due)
        version = due[0].version if self._rules.alone else combined_version(wanted)
        return SotwResponse(self._type_url, version, nonce, tuple(due))

    def _heartbeat(self, nonce: str) -> SotwResponse | None:
        # Whole: Envoy acknowledges one without a body, and lets the resource die all the same (tried on 1.40).
        # While something newer is on its way, it would bring back what was before.
        if not self._beats or self._ledger.waiting:
            return None
        self._note_runs()
        self._beats &= self._names & self._runs.keys()
        for name in sorted(self._beats):
            self._beats.discard(name)
            self._last_nonce = nonce
            self._ledger.beat(nonce)
            runs = self._runs[name]
            return SotwResponse(self._type_url, runs.version, nonce, (runs,), heartbeat=True)
        return None

    def _due_of_full_state(self, wanted: list[Resource]) -> list[Resource] | None:
        versions = {resource.name: resource.version for resource in wanted}
        # Equal to what was sent covers the rejected too: a set that was rejected whole is not sent again.
        if versions == self._sent and not self._owed & versions.keys() and not self._owes_response:
            return None
        self._ledger.forget(self._sent.keys() - versions.keys())
        self._sent.clear()
        return wanted

    def _due(self, wanted: list[Resource], available: Mapping[str, Resource]) -> list[Resource] | None:
        due = [known for known in wanted if self._is_due(known) or self._ledger.cleared(known, available)]
        return (due[:1] if self._rules.alone else due) or None

    def _is_due(self, resource: Resource) -> bool:
        rejected = self._ledger.rejected(resource)
        if resource.name in self._owed:
            return not (rejected and resource.name in self._held)
        return not rejected and (self._again or self._sent.get(resource.name) != resource.version)
