"""In which order a change goes out on one stream: make before break. Pure.

Laws:

1. What is new goes out in the order of :data:`~hfi_xds.resource_types.RULES`: clusters, endpoints, extension
   configurations, listeners, routes.
2. What points to clusters waits until the client has taken them. Envoy acknowledges its clusters when they are warm,
   so their endpoints must not wait for that.
3. What is gone stays for as long as something may point to it: until everything that is new has been taken. It is then
   taken away in the reverse order, each type when the client has answered for the one before. On a stream of one type
   nothing is known of what points to it, and nothing stays. What a client of the delta variant brings along from
   another stream stays as well; of what one of SotW has, nothing is known.
4. Clusters that the client has rejected hold back what would point to them, and what was there stays, until there are
   others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hfi_xds.resource_types import RULES
from hfi_xds.resources import Resource, ResourceSnapshot


class Taker(Protocol):
    """Whoever takes resources of one type."""

    def has(self, resource: Resource) -> bool:
        """Whether it has said that it has exactly this."""

    def refused(self, resource: Resource) -> bool:
        """Whether it has rejected exactly this."""


class Transition:
    """From what a client of a stream was served to what it is to be served."""

    def __init__(self) -> None:
        self._snapshot: ResourceSnapshot | None = None
        self._now: dict[str, Mapping[str, Resource]] = {}
        self._staying: dict[str, dict[str, Resource]] = {}
        #: What the client has said yes to, of what may have changed since.
        self._good: dict[str, dict[str, Resource]] = {}

    def take(self, snapshot: ResourceSnapshot, takers: Mapping[str, Taker]) -> None:
        """From now on this is to be served. What it lacks stays for the time being (law 3).

        Of a type that is not served at the moment, what was there before is remembered.
        """
        if snapshot is self._snapshot:
            return
        self._snapshot = snapshot
        if len(takers) == 1 and not self._staying and not self._good:
            # Nothing stays for one alone, and most streams are.
            self._now.update(snapshot.types)
            return
        for type_url, now in snapshot.types.items():
            taker = takers.get(type_url)
            if taker is None or len(takers) == 1 or not RULES[type_url].removals:
                self._staying.pop(type_url, None)
                self._good.pop(type_url, None)
            else:
                before = self._now.get(type_url, {})
                good = self._good.get(type_url, {}) | {n: known for n, known in before.items() if taker.has(known)}
                there = {**self._staying.get(type_url, {}), **before}
                self._staying[type_url] = {name: old for name, old in there.items() if name not in now}
                self._good[type_url] = {name: known for name, known in good.items() if name in there}
            self._now[type_url] = now

    def available(self, type_url: str, taker: Taker) -> Mapping[str, Resource]:
        """What is there of a type at this moment, names in order. What was rejected does not stay: what was there
        before it does."""
        now, staying = self._now.get(type_url, {}), self._staying.get(type_url)
        if not staying:
            return now
        for name in [name for name, old in staying.items() if taker.refused(old)]:
            del staying[name]
            good = self._good.get(type_url, {}).get(name)
            if good is not None and not taker.refused(good):
                staying[name] = good
        return dict(sorted({**staying, **now}.items()))

    def let_go(self, type_url: str) -> bool:
        """Let go what stayed of a type; False when nothing did."""
        return bool(self._staying.pop(type_url, None))
