"""Both variants against the model of :mod:`tests.unit.xds.interleavings`."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from hfi_xds.messages import WILDCARD, DeltaRequest, SotwRequest
from hfi_xds.resource_types import CLUSTER
from hfi_xds.session import delta_session, sotw_session
from tests.unit.xds.interleavings import NAMED, NAMES, TYPES, Interleavings
from tests.unit.xds.talk import HELLO


class Delta(Interleavings):
    keeps = True

    def open(self) -> Any:
        self.held = {}
        return delta_session(self.remembered, ttl_seconds=1)

    def hello(self, type_url: str) -> Any:
        names = {WILDCARD} if type_url == CLUSTER else self.wants[type_url]
        brought = {
            name: version
            for name, version in self.took[type_url].items()
            if type_url == CLUSTER or name in self.wants[type_url]
        }
        return DeltaRequest(type_url, tuple(sorted(names)), initial_versions=brought, nonce="of another", hello=HELLO)

    def heard(self, request: Any) -> None:
        super().heard(request)
        url = request.type_url
        for name, version in request.initial_versions.items():
            self.carried[url, name] = version
            if name in self.world[url]:
                self.held[url, name] = version
        for name in set(request.subscribe) - request.initial_versions.keys():
            self.asked.add((url, name))
        for name in request.unsubscribe:
            self.asked.discard((url, name))
            self.carried.pop((url, name), None)

    @rule(url=NAMED, name=NAMES)
    def subscribe(self, url: str, name: str) -> None:
        self.wants[url].add(name)
        self.to_server.append(DeltaRequest(url, (name,)))

    @rule(url=NAMED, name=NAMES)
    def unsubscribe(self, url: str, name: str) -> None:
        self.wants[url].discard(name)
        self.has[url].pop(name, None)
        self.took[url].pop(name, None)
        self.to_server.append(DeltaRequest(url, unsubscribe=(name,)))

    @rule(url=st.sampled_from(TYPES), nonce=st.sampled_from(["", "0", "of another", "1", "2"]))
    def say_something_old(self, url: str, nonce: str) -> None:
        if nonce not in self.answers:
            self.to_server.append(DeltaRequest(url, nonce=nonce))

    def answer(self, response: Any, error: Any) -> Any:
        return DeltaRequest(response.type_url, nonce=response.nonce, error=error)


class Sotw(Interleavings):
    keeps = False

    def open(self) -> Any:
        self.held = {}
        self.nonce = dict.fromkeys(TYPES, "")
        self.known = dict.fromkeys(TYPES, frozenset[str]())
        return sotw_session(self.remembered, ttl_seconds=1)

    def request(self, url: str, nonce: str, error: Any = None, version: str = "") -> Any:
        names = () if url == CLUSTER else tuple(sorted(self.wants[url]))
        return SotwRequest(url, names, version, nonce, error, HELLO)

    def hello(self, type_url: str) -> Any:
        held = bool(self.has[type_url])
        return self.request(type_url, "", version="something" if held else "")

    def heard(self, request: Any) -> None:
        super().heard(request)
        url = request.type_url
        if request.nonce in ("", self.sent_last.get(url, "")):
            for name in set(request.names) - self.known[url]:
                self.asked.add((url, name))
            for name in self.known[url] - set(request.names):
                self.asked.discard((url, name))
                self.carried.pop((url, name), None)
            self.known[url] = frozenset(request.names)

    def check(self, response: Any) -> None:
        super().check(response)
        self.sent_last[response.type_url] = response.nonce

    @rule(url=NAMED, name=NAMES, wanted=st.booleans())
    def subscribe(self, url: str, name: str, wanted: bool) -> None:
        if wanted:
            self.wants[url].add(name)
        else:
            self.wants[url].discard(name)
            self.has[url].pop(name, None)
            self.took[url].pop(name, None)
        self.to_server.append(self.request(url, self.nonce[url]))

    @rule(url=st.sampled_from(TYPES))
    def say_something_old(self, url: str) -> None:
        self.to_server.append(self.request(url, "of another"))

    def answer(self, response: Any, error: Any) -> Any:
        self.nonce[response.type_url] = response.nonce
        return self.request(response.type_url, response.nonce, error, response.version)


#: The same ones each time, so that a change is to blame for what fails. To search further, let them differ.
FULLY = settings(
    max_examples=200,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestDelta = Delta.TestCase
TestDelta.settings = FULLY
TestSotw = Sotw.TestCase
TestSotw.settings = FULLY
