"""Make before break, on one stream: what goes out when, and what must wait for which answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hfi_xds.messages import WILDCARD, DeltaRequest, SotwRequest
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE, RULES, label
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import Session, delta_session, sotw_session
from tests.unit.xds.talk import HELLO, NO, contents, of

ALL = (CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE)
NAMES = ("one", "two")


class Client:
    """Takes every type on one stream, and answers when it is told to."""

    def __init__(self, *types: str) -> None:
        self.session: Session[Any, Any] = self.open()
        self.snapshot = ResourceSnapshot.of(types=ALL)
        self.has: dict[str, dict[str, str]] = {type_url: {} for type_url in RULES}
        self.nonces: dict[str, str] = {}
        for type_url in types or ALL:
            self.say(type_url)

    def open(self) -> Session[Any, Any]:
        raise NotImplementedError

    def say(self, type_url: str, error: Any = None) -> None:
        raise NotImplementedError

    def take(self, response: Any) -> None:
        raise NotImplementedError

    def serves(self, **types: dict[str, str]) -> list[str]:
        """From now on this, by label; answers what goes out at once, as ``label: names``."""
        urls = {label(url): url for url in ALL}
        resources = [resource for name, named in types.items() for resource in of(urls[name], **named)]
        self.snapshot = ResourceSnapshot.of(*resources, types=ALL)
        return self.due()

    def due(self) -> list[str]:
        told = []
        while (response := self.session.next(self.snapshot)) is not None:
            self.nonces[response.type_url] = response.nonce
            told.append(label(response.type_url))
            self.take(response)
        return told

    def answers(self, *types: str, error: Any = None) -> list[str]:
        """The client answers for these types; what goes out then."""
        for type_url in types:
            self.say(type_url, error)
        return self.due()

    def settle(self) -> list[str]:
        """The client answers everything, until nothing more comes: what came on the way."""
        told: list[str] = []
        while self.nonces:
            told += self.answers(*list(self.nonces))
        return told


class Delta(Client):
    def open(self) -> Session[Any, Any]:
        return delta_session(Rejections())

    def say(self, type_url: str, error: Any = None) -> None:
        nonce = self.nonces.pop(type_url, "")
        wanted = () if nonce else ((WILDCARD,) if RULES[type_url].wildcard else NAMES)
        self.session.receive(DeltaRequest(type_url, wanted, nonce=nonce, error=error, hello=HELLO))

    def take(self, response: Any) -> None:
        self.has[response.type_url] |= contents(response.resources)
        for name in response.removed:
            self.has[response.type_url].pop(name, None)


class Sotw(Client):
    def open(self) -> Session[Any, Any]:
        return sotw_session(Rejections())

    def say(self, type_url: str, error: Any = None) -> None:
        wanted = () if RULES[type_url].wildcard else NAMES
        nonce = self.nonces.pop(type_url, "")
        self.session.receive(SotwRequest(type_url, wanted, nonce=nonce, error=error, hello=HELLO))

    def take(self, response: Any) -> None:
        if RULES[response.type_url].full_state:
            self.has[response.type_url] = {}
        self.has[response.type_url] |= contents(response.resources)


BOTH = pytest.mark.parametrize("client", [Delta, Sotw], ids=["delta", "sotw"])
Make = Callable[..., Client]

OLD = {"cds": {"one": "c"}, "eds": {"one": "e"}, "ecds": {"one": "f"}, "lds": {"one": "l"}, "rds": {"one": "to one"}}
NEW = {"cds": {"two": "c"}, "eds": {"two": "e"}, "ecds": {"one": "f"}, "lds": {"one": "l"}, "rds": {"one": "to two"}}


@BOTH
def test_an_update_goes_out_in_the_order_in_which_it_is_needed(client: Make) -> None:
    it = client()
    first = it.serves(**OLD)
    # What points to clusters waits for them, and their endpoints do not: Envoy says yes to clusters that are warm.
    assert first == ["cds", "eds", "ecds"]
    assert it.answers(ENDPOINT, EXTENSION_CONFIG) == []
    assert it.answers(CLUSTER) == ["lds", "rds"]
    assert it.settle() == []


@BOTH
def test_what_is_new_is_taken_before_what_is_gone_goes(client: Make) -> None:
    it = client()
    it.serves(**OLD)
    it.settle()
    assert it.serves(**NEW) == ["cds", "eds"]
    assert set(it.has[CLUSTER]) == {"one", "two"}
    assert it.answers(ENDPOINT) == []
    assert it.answers(CLUSTER) == ["rds"]
    # The routes are on their way: until they are taken, there are requests for the old cluster.
    assert set(it.has[CLUSTER]) == {"one", "two"}
    assert it.answers(ROUTE)[-1:] in (["eds"], ["cds"])
    it.settle()
    assert set(it.has[CLUSTER]) == {"two"}


@BOTH
def test_what_is_gone_goes_in_the_reverse_order(client: Make) -> None:
    it = client()
    it.serves(**OLD)
    it.settle()
    told = it.serves()
    told += it.settle()
    # In SotW the absence of routes and endpoints is no news.
    assert told == (["rds", "lds", "eds", "cds"] if client is Delta else ["lds", "cds"])
    assert (it.has[CLUSTER], it.has[LISTENER]) == ({}, {})
    # An extension configuration is never taken away.
    assert it.has[EXTENSION_CONFIG] == {"one": "f"}


@BOTH
def test_clusters_that_are_rejected_hold_back_what_would_point_to_them(client: Make) -> None:
    it = client()
    it.serves(**OLD)
    it.settle()
    it.serves(**NEW)
    assert it.answers(ENDPOINT) == []
    assert it.answers(CLUSTER, error=NO) == []
    assert it.has[ROUTE] == {"one": "to one"}
    assert it.settle() == []
    # Others are there: it goes on.
    mended = {**NEW, "cds": {"two": "mended"}}
    assert it.serves(**mended) == ["cds", "eds"]
    assert it.answers(CLUSTER) == ["rds"]
    it.settle()
    assert (it.has[CLUSTER], it.has[ROUTE]) == ({"two": "mended"}, {"one": "to two"})


@BOTH
def test_a_cluster_that_changes_brings_its_endpoints_along(client: Make) -> None:
    it = client()
    it.serves(**OLD)
    it.settle()
    assert it.serves(**{**OLD, "cds": {"one": "changed"}}) == ["cds", "eds"]
    it.settle()
    # Unless the client has rejected them; and no other change does.
    it.serves(**{**OLD, "cds": {"one": "changed"}, "eds": {"one": "bad"}})
    it.answers(ENDPOINT, error=NO)
    assert it.serves(**{**OLD, "cds": {"one": "changed again"}, "eds": {"one": "bad"}}) == ["cds"]
    it.settle()
    assert it.serves(**{**OLD, "cds": {}}) == ["eds"]
    told = it.settle()
    assert "eds" not in told


@BOTH
def test_a_change_that_is_taken_back_leaves_nothing_behind(client: Make) -> None:
    it = client()
    it.serves(**OLD)
    it.settle()
    it.serves(**NEW)
    it.serves(**OLD)
    it.settle()
    assert (it.has[CLUSTER], it.has[ROUTE]) == ({"one": "c"}, {"one": "to one"})
    # And another change after that goes as the first would have gone.
    it.serves(**NEW)
    it.settle()
    assert (it.has[CLUSTER], it.has[ROUTE]) == ({"two": "c"}, {"one": "to two"})


@BOTH
def test_clusters_that_were_rejected_and_are_taken_back_hold_nothing_back(client: Make) -> None:
    it = client()
    it.serves(**OLD)
    it.settle()
    it.serves(**NEW)
    it.answers(CLUSTER, error=NO)
    it.serves(**OLD)
    it.settle()
    it.serves(**{**OLD, "lds": {"one": "l", "two": "l"}, "rds": {"one": "to one, in another way"}})
    it.settle()
    assert it.has[CLUSTER] == {"one": "c"}
    assert set(it.has[LISTENER]) == {"one", "two"}
    assert it.has[ROUTE] == {"one": "to one, in another way"}


@BOTH
def test_who_asks_for_one_type_waits_for_nothing(client: Make) -> None:
    clusters, routes = client(CLUSTER), client(ROUTE)
    assert clusters.serves(**OLD) == ["cds"]
    assert clusters.serves(**NEW) == ["cds"]
    assert set(clusters.has[CLUSTER]) == {"two"}
    assert routes.serves(**OLD) == ["rds"]


@BOTH
def test_who_says_nothing_more_is_not_waited_for(client: Make) -> None:
    """A call from a command line asks for all types and closes its side."""
    it = client()
    it.session.finish()
    assert it.serves(**OLD) == ["cds", "eds", "ecds", "lds", "rds"]
