"""Incremental: one type on one stream. Pure.

Laws (``docs/xds.md`` has the sources):

1. A nonce only says which response is answered. Subscriptions in a request count, however old its nonce is.
2. What is due is what the client does not have: by what was sent on this stream, and before that by the
   ``initial_resource_versions`` of the first message of the type (later ones say nothing).
3. A name in ``subscribe`` is answered, even if the client has been sent it: it may have forgotten it. A name that
   does not exist is answered once with ``removed_resources``, remembered, and sent when it appears. For a type without
   removals (ECDS) it is only remembered.
4. What this node has rejected is not sent again until its content changes; except that a name is always answered
   once, for a listener may be waiting, unless the client came back with a version of it; and that what was rejected
   together with others is sent again when those have changed, for they may have been to blame.
5. What a client brought along and is gone is removed when :mod:`~hfi_xds.order` lets it go, and not at once: it may
   have routes that lead there.
6. Whoever unsubscribes a name while subscribed to everything is told what it is now.
"""

from __future__ import annotations

from collections.abc import Mapping

from hfi_xds.ledger import Ledger
from hfi_xds.messages import WILDCARD, DeltaRequest, DeltaResponse
from hfi_xds.resource_types import TypeRules
from hfi_xds.resources import Resource
from hfi_xds.subscription import Subscription


class DeltaSubscription(Subscription):
    """What a client wants of one type, and what it has."""

    def __init__(self, type_url: str, rules: TypeRules, ledger: Ledger) -> None:
        super().__init__(type_url, rules, ledger)
        self._names: set[str] = set()
        self._has: dict[str, str] = {}
        #: Versions that the client came with and that have not been reported yet.
        self._claimed: dict[str, str] = {}
        self._owes_all = False
        self._beats = False
        self._beat: tuple[str, tuple[str, ...]] = ("", ())
        #: What the client came with: while it may still point to it, it is not told that it is gone.
        self._brought: set[str] = set()
        self._told_nothing = True

    @property
    def size(self) -> int:
        """How many names are remembered: subscribed, owed an answer, or brought by the client."""
        return len(self._names | self._owed | self._has.keys())

    def heartbeat(self) -> None:
        """What the client has is to live on."""
        self._beats = True

    def let_go(self) -> bool:
        """What the client has brought along and is gone may be taken away; False when there is nothing of that."""
        held, self._brought = self._brought, set()
        return bool(held & self._has.keys())

    def receive(self, request: DeltaRequest) -> bool:
        """Take a request; False when it only says yes, and nothing more of this type is due because of it."""
        if not self._begun:
            self._begin(request)
            return True
        answers = bool(request.nonce) and self._ledger.answered(request.nonce, request.error)
        if request.nonce and not answers:
            self._ledger.stale()
        if request.error is not None and request.nonce and request.nonce == self._beat[0]:
            # It has died before the heartbeat came.
            self._owed |= self._names.intersection(self._beat[1])
        for name in request.unsubscribe:
            self._unsubscribe(name)
        for name in request.subscribe:
            if name == WILDCARD:
                self._owes_all = self._wildcard = self._rules.wildcard
            else:
                self._names.add(name)
                self._owed.add(name)
        says_more = request.error is not None or request.subscribe or request.unsubscribe
        return bool(says_more or not answers or self._beats or self._brought)

    def _begin(self, request: DeltaRequest) -> None:
        self._begun = True
        names = set(request.subscribe)
        # Naming nothing at first, neither to have nor to lose, is the older way to ask for everything.
        self._wildcard = self._rules.wildcard and (WILDCARD in names or not (names or request.unsubscribe))
        # Envoy's start goes no further without an answer, so even nothing at all is said.
        self._owes_response = self._wildcard
        self._names = names - {WILDCARD} - set(request.unsubscribe)
        for name, version in request.initial_versions.items():
            if self._wildcard or name in self._names:
                self._has[name] = self._claimed[name] = version
        if self._rules.removals:
            self._brought = set(self._has)
        self._owed = self._names - self._has.keys()

    def _unsubscribe(self, name: str) -> None:
        if name == WILDCARD:
            if self._wildcard:
                self._wildcard = self._owes_all = False
                self._owed &= self._names
                self._has = {name: version for name, version in self._has.items() if name in self._names}
            return
        if name not in self._names:
            return
        self._names.discard(name)
        self._owed.discard(name)
        if self._wildcard:
            self._owed.add(name)
        else:
            self._has.pop(name, None)

    def next(self, available: Mapping[str, Resource], nonce: str) -> DeltaResponse | None:
        """The response that is due now, or None. Asking again gives the next one."""
        self._report_claims(available)
        if self._owes_all:
            self._owed |= available.keys()
            self._owes_all = False
        wanted = [known for name, known in available.items() if self._wildcard or name in self._names]
        due = [known for known in wanted if self._is_due(known) or self._ledger.cleared(known, available)]
        if self._rules.alone:
            due = due[:1]
        removed = self._gone(available)
        # Its other types come right behind its first: an answer that says nothing has it say so first.
        self._owes_response |= self._told_nothing and not self._brought <= available.keys()
        self._told_nothing = False
        if not due and not removed and not self._owes_response:
            return self._heartbeat(nonce)
        self._owes_response = self._again = False
        for resource in due:
            self._has[resource.name] = resource.version
            self._owed.discard(resource.name)
        for name in removed:
            self._has.pop(name, None)
            self._owed.discard(name)
        self._ledger.forget(removed)
        self._ledger.sent(nonce, due)
        return DeltaResponse(self._type_url, nonce, tuple(due), removed)

    def _heartbeat(self, nonce: str) -> DeltaResponse | None:
        # With an older version than that which is on its way, it would be a resource without content.
        if not self._beats or not self._rules.expires or self._ledger.waiting:
            return None
        # Of what it runs, which need not be what is there: that may be rejected, or gone.
        runs = self._ledger.runs.items()
        alive = tuple(sorted(held for held in runs if self._wildcard or held[0] in self._names))
        self._beats = False
        if not alive:
            return None
        self._ledger.beat(nonce)
        self._beat = (nonce, tuple(name for name, _ in alive))
        return DeltaResponse(self._type_url, nonce, (), alive=alive)

    def _report_claims(self, available: Mapping[str, Resource]) -> None:
        if not self._claimed:
            return
        # Only of names that exist: what a client calls its own is no name for our status.
        for name in self._claimed.keys() & available.keys():
            self._ledger.holds(name, self._claimed[name])
        self._claimed.clear()

    def _is_due(self, resource: Resource) -> bool:
        if resource.name in self._owed:
            return True
        return (self._again or self._has.get(resource.name) != resource.version) and not self._ledger.rejected(resource)

    def _gone(self, available: Mapping[str, Resource]) -> tuple[str, ...]:
        if not self._rules.removals or not (self._owed or self._has.keys() - available.keys()):
            return ()
        return tuple(sorted((self._owed | (self._has.keys() - self._brought)) - available.keys()))
