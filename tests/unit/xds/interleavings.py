"""A client and a server that speak through two pipes, in every order that hypothesis can think of, against a model.

Messages lie in the pipes for as long as it likes, streams break with all that is in them, replicas change, contents
change and go, and the client says no. What must hold:

* what is said on a stream is never said for nothing, and what was rejected is not said again;
* nonces are used once, and an old one changes nothing but what it answers;
* at no moment do the client's routes lead to a cluster that it has not, however the two changed (with SotW: on one
  stream);
* a heartbeat is of the very version that the client has, whatever is on its way;
* when everybody has said all, the client has the newest content of all that it wants, unless it has rejected that.

The client behaves as Envoy does: of a response it takes what is good, says no to the whole when there is one bad
thing in it, and says yes without taking it to what it has rejected before.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, ROUTE, RULES, label
from hfi_xds.resources import Resource, ResourceSnapshot
from tests.unit.xds.talk import NO

TYPES = (CLUSTER, ENDPOINT, EXTENSION_CONFIG, ROUTE)
#: Far more messages than any conversation of these sizes needs: who talks on is in a loop.
ENOUGH = 200

NAMED = st.sampled_from([ENDPOINT, EXTENSION_CONFIG])
NAMES = st.sampled_from(["a", "b"])
CONTENTS = st.sampled_from(["good 1", "good 2", "bad"])
#: How much is done of what could be: in the middle, or to the end.
SOME = st.sampled_from([1, 1, ENOUGH])

Key = tuple[str, str, str]


def key(resource: Resource) -> Key:
    return (resource.type_url, resource.name, resource.version)


class Interleavings(RuleBasedStateMachine):
    """What both variants promise."""

    #: Whether the client says what it has, so that the next stream can keep it.
    keeps: bool

    def __init__(self) -> None:
        super().__init__()
        self.world: dict[str, dict[str, str]] = {
            CLUSTER: {"a": "good 1"},
            ENDPOINT: {"a": "good 1"},
            EXTENSION_CONFIG: {},
            ROUTE: {"r": "a"},
        }
        self.remembered = Rejections()
        #: The client: what it runs, what it has rejected, and what it wants. All of it outlives a stream.
        self.has: dict[str, dict[str, Resource]] = {url: {} for url in TYPES}
        self.rejected: set[Key] = set()
        #: The versions that it has said yes to; what it runs is another matter.
        self.took: dict[str, dict[str, str]] = {url: {} for url in TYPES}
        #: What it took of responses that it rejected: of that, it will say on another stream that it has what it had.
        self.muddled: set[tuple[str, str]] = set()
        self.unknowable: set[tuple[str, str]] = set()
        self.settled = False
        self.wants: dict[str, set[str]] = {CLUSTER: set(), ENDPOINT: {"a"}, EXTENSION_CONFIG: set(), ROUTE: {"r"}}
        self.connect()

    # -- the stream -------------------------------------------------------------------------------------------

    def open(self) -> Any:
        raise NotImplementedError

    def hello(self, type_url: str) -> Any:
        """The first request for a type."""
        raise NotImplementedError

    def connect(self) -> None:
        self.session = self.open()
        self.to_server: deque[Any] = deque()
        self.to_client: deque[Any] = deque()
        self.nonces: set[str] = set()
        self.sent_last: dict[str, str] = {}
        self.beats: dict[str, list[str]] = {}
        #: By type and name: what this stream has carried, or the client has brought.
        self.carried: dict[tuple[str, str], str] = {}
        #: Names that the server has been asked for and has not answered.
        self.asked: set[tuple[str, str]] = set()
        #: What it has been told on this stream that the client rejects.
        self.told: set[Key] = set()
        #: What it has been told that the client rejects, but not which of them.
        self.together: set[Key] = set()
        self.answers: dict[str, list[Resource]] = {}
        self.whole: dict[str, dict[str, str]] = {}
        self.warming = False
        self.settled = self.settled and self.keeps
        for type_url in TYPES:
            self.to_server.append(self.hello(type_url))

    @property
    def snapshot(self) -> ResourceSnapshot:
        resources = [
            Resource.of(url, name, content.encode()) for url in TYPES for name, content in self.world[url].items()
        ]
        return ResourceSnapshot.of(*resources, types=TYPES)

    @precondition(lambda self: self.to_server)
    @rule(count=SOME)
    def reach_server(self, count: int) -> None:
        for _ in range(min(count, len(self.to_server))):
            request = self.to_server.popleft()
            self.heard(request)
            self.session.receive(request)

    def heard(self, request: Any) -> None:
        """Keep the books on what the server now knows."""
        if request.error is not None and request.nonce in self.answers:
            said = self.answers[request.nonce]
            new = [one for one in said if self.held.get((one.type_url, one.name)) != one.version] or said
            if len(new) == 1:
                self.told.add(key(new[0]))
            else:
                self.together |= {key(one) for one in new}
        elif request.nonce in self.answers:
            self.held |= {(one.type_url, one.name): one.version for one in self.answers[request.nonce]}
        self.answers.pop(request.nonce, None)
        if request.error is not None:
            known = [(request.type_url, name) for name in self.beats.get(request.nonce, ())]
            self.asked |= {at for at in known if at in self.carried}

    #: What the server has been told that the client has.
    held: dict[tuple[str, str], str]

    @rule(count=SOME)
    def write(self, count: int) -> None:
        for _ in range(count):
            if not self.send():
                break
        else:
            assert count == 1, "it talks on and on"

    def send(self) -> bool:
        """The server sends the next thing that is due, if there is any."""
        response = self.session.next(self.snapshot)
        if response is None:
            return False
        assert response.nonce not in self.nonces, "a nonce was used twice"
        self.nonces.add(response.nonce)
        if response.heartbeat:
            self.beats[response.nonce] = [name for name, _ in getattr(response, "alive", ())]
            self.sent_last[response.type_url] = response.nonce
        else:
            self.check(response)
        self.answers[response.nonce] = list(response.resources)
        if response.type_url == CLUSTER:
            self.warming = True
        if response.type_url == ENDPOINT:
            self.warming = False
        self.to_client.append(response)
        return True

    def check(self, response: Any) -> None:
        """It is true, and it is not said for nothing."""
        url = response.type_url
        names = [resource.name for resource in response.resources]
        assert len(names) == len(set(names))
        if RULES[url].full_state and not hasattr(response, "removed"):
            whole = {resource.name: resource.version for resource in response.resources}
            assert self.whole.get(url) != whole, f"the same {label(url)} again"
            self.whole[url] = whole
            return
        for resource in response.resources:
            at = (url, resource.name)
            if at not in self.asked and not (url == ENDPOINT and self.warming):
                new = self.carried.get(at) != resource.version
                blameless = key(resource) in self.together
                assert new or blameless, f"{resource.name} of {label(url)} again, for nothing"
                assert key(resource) not in self.told, "sent again after it was rejected"
            self.asked.discard(at)
            self.together.discard(key(resource))
            self.carried[at] = resource.version
        for name in getattr(response, "removed", ()):
            assert RULES[url].removals, "an extension configuration was taken away"
            self.carried.pop((url, name), None)
            self.held.pop((url, name), None)
            self.asked.discard((url, name))

    @precondition(lambda self: self.to_client)
    @rule(count=SOME)
    def reach_client(self, count: int) -> None:
        for _ in range(min(count, len(self.to_client))):
            self.take(self.to_client.popleft())
            self.routes_lead_somewhere()

    def take(self, response: Any) -> None:
        url, refused = response.type_url, False
        if response.heartbeat:
            alive = getattr(response, "alive", None) or [(one.name, one.version) for one in response.resources]
            # What it has unsubscribed it has forgotten, and knows nothing to do with it if it wants it again.
            known = {name: self.took[url].get(name) for name, _ in alive if name in self.wants[url]}
            assert all(known[name] in (version, None) for name, version in alive if name in known)
            lost = None in known.values() and not response.resources
            self.to_server.append(self.answer(response, NO if lost else None))
            return
        if RULES[url].full_state and not hasattr(response, "removed"):
            names = {resource.name for resource in response.resources}
            self.has[url] = {name: one for name, one in self.has[url].items() if name in names}
        for resource in response.resources:
            if key(resource) in self.rejected:
                continue  # Envoy's worst habit: yes, and it keeps what it had.
            if resource.body.startswith(b"bad"):
                self.rejected.add(key(resource))
                refused = True
            else:
                self.has[url][resource.name] = resource
        for name in getattr(response, "removed", ()):
            self.has[url].pop(name, None)
            self.took[url].pop(name, None)
        names = {(url, resource.name) for resource in response.resources}
        if refused:
            self.muddled |= names
        else:
            self.took[url] |= {resource.name: resource.version for resource in response.resources}
            self.muddled -= names
            self.unknowable -= names
        self.to_server.append(self.answer(response, NO if refused else None))

    def answer(self, response: Any, error: Any) -> Any:
        raise NotImplementedError

    # -- what may happen --------------------------------------------------------------------------------------

    @rule(url=NAMED, name=NAMES, content=CONTENTS, settled=st.booleans())
    def change(self, url: str, name: str, content: str, settled: bool) -> None:
        self.world[url][name] = content
        if settled:
            self.settle()

    @rule(url=NAMED, name=NAMES)
    def take_away(self, url: str, name: str) -> None:
        self.world[url].pop(name, None)

    @rule(clusters=st.dictionaries(st.sampled_from(["a", "b", "c"]), CONTENTS, min_size=1), settled=st.booleans())
    def move(self, clusters: dict[str, str], settled: bool) -> None:
        """Other clusters, and routes to one of them, at once."""
        self.world[CLUSTER] = clusters
        self.world[ROUTE] = {"r": max(clusters)}
        if settled:
            self.settle()

    @rule()
    def beat(self) -> None:
        """Time has passed, and perhaps something is on its way."""
        self.send()
        self.session.heartbeat()
        self.send()

    @rule(replica=st.booleans())
    def come_back(self, replica: bool) -> None:
        """The stream breaks with all that is in the pipes; the next is at this replica, or at another."""
        if replica:
            self.remembered = Rejections()
        if self.keeps:
            self.unknowable |= self.muddled
        self.connect()

    @rule()
    def settle(self) -> None:
        """Everybody says all that there is to say; then the client has all that there is."""
        for _ in range(ENOUGH):
            if self.to_server:
                self.reach_server(ENOUGH)
            sent = self.send()
            if self.to_client:
                self.reach_client(ENOUGH)
            if not sent and not self.to_server:
                break
        else:
            raise AssertionError("they talk on and on")
        self.converged()

    def converged(self) -> None:
        now = self.snapshot
        bad = [one for one in now.of_type(CLUSTER).values() if key(one) in self.rejected]
        for url in TYPES:
            if url == ROUTE and bad:
                continue  # Held back: law 4 of the order.
            unanswered = {name for of, name in self.asked if of == url and name in now.of_type(url)}
            assert all(key(now.of_type(url)[name]) in self.rejected for name in unanswered), (
                "what is asked for is answered"
            )
            for name, resource in now.of_type(url).items():
                if (url, name) in self.unknowable or key(resource) in self.rejected:
                    continue
                if url == CLUSTER or name in self.wants[url]:
                    assert self.has[url].get(name) == resource, f"{name} of {label(url)} is not the newest"
        if not bad:
            self.settled = True
            # What it took of a response that it rejected, it does not bring along: nobody could tell it.
            had = self.has[CLUSTER].keys() & self.took[CLUSTER].keys()
            assert had <= now.of_type(CLUSTER).keys(), "a cluster that is gone is still there"

    @invariant()
    def routes_lead_somewhere(self) -> None:
        """From when the client has had all that there was; in SotW, on the same stream."""
        if self.settled and (routes := self.has[ROUTE]):
            assert routes["r"].body.decode() in self.has[CLUSTER] or self.lost()

    def lost(self) -> bool:
        """The client itself has rejected that cluster, and had none of that name before."""
        name = self.has[ROUTE]["r"].body.decode()
        return any(url == CLUSTER and rejected == name for url, rejected, _ in self.rejected)

    def teardown(self) -> None:
        self.settle()
