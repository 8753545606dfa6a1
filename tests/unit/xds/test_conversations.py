"""Whatever is said in whatever order: a client that answers late, says no, forgets, and comes back.

The client behaves as Envoy does, down to its worst habit: what it rejected it acknowledges when it is sent it again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hfi_core.proxies import ResourceStatus
from hfi_xds.messages import DeltaResponse, SotwResponse
from hfi_xds.rejections import Rejections
from tests.unit.xds.talk import NO, DeltaTalk, SotwTalk, of, version

NAMES = st.sampled_from(["a", "b"])
CONTENTS = st.sampled_from(["good 1", "good 2", "bad 1", "bad 2"])
BAD = frozenset({version("bad 1"), version("bad 2")})

Response = DeltaResponse | SotwResponse


class Conversations(RuleBasedStateMachine):
    """What both variants promise. ``seen`` is what this stream has carried, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.rejections = Rejections()
        self.served: dict[str, str] = {}
        #: What the client runs, and all that it has ever rejected (name and version); both outlive a stream.
        self.runs: dict[str, str] = {}
        self.rejected: set[tuple[str, str]] = set()
        self.wanted: set[str] = set()
        self.begin()

    def begin(self) -> None:
        self.talk = self.open()
        self.talk.serves(**self.served)
        self.nonces: set[str] = set()
        self.unanswered: list[Response] = []
        self.seen: dict[str, str] = {}
        self.asked: set[str] = set()
        self.claimed: dict[str, str] = {}

    def open(self) -> Any:
        raise NotImplementedError

    def take(self, responses: list[Response]) -> None:
        for response in responses:
            assert response.nonce not in self.nonces
            self.nonces.add(response.nonce)
            # One resource a response, and never that it is gone.
            [resource] = response.resources
            assert not getattr(response, "removed", ())
            assert resource == of(**self.served)[[*self.served].index(resource.name)]
            known = resource.name in self.asked
            assert known or self.seen.get(resource.name) != resource.version, "sent again for nothing"
            assert known or (resource.name, resource.version) not in self.rejected, "sent again after a rejection"
            self.asked.discard(resource.name)
            self.seen[resource.name] = resource.version
            self.unanswered.append(response)

    @rule(name=NAMES, content=CONTENTS)
    def serve(self, name: str, content: str) -> None:
        self.served[name] = content
        self.take(self.talk.serves(**self.served))

    @rule(name=NAMES)
    def take_away(self, name: str) -> None:
        self.served.pop(name, None)
        self.take(self.talk.serves(**self.served))

    @precondition(lambda self: self.unanswered)
    @rule()
    def answer(self) -> None:
        response = self.unanswered.pop(0)
        [resource] = response.resources
        key = (resource.name, resource.version)
        refused = resource.version in BAD and key not in self.rejected
        self.talk.events()
        self.take(self.reply(response, NO if refused else None))
        if refused:
            expected = "nacked"
        elif key in self.rejected:
            expected = "not_applied"
        else:
            expected = "acked"
            self.runs[resource.name] = resource.version
        if refused:
            self.rejected.add(key)
        told = [event for event in self.talk.events() if isinstance(event, ResourceStatus) and event.state != "sent"]
        assert [(event.name, event.digest, event.state) for event in told] == [(*key, expected)]

    def reply(self, response: Response, error: Any) -> list[Response]:
        raise NotImplementedError

    @invariant()
    def everybody_has_what_there_is(self) -> None:
        """Unless it is on its way, or was refused, or was brought along."""
        if self.unanswered:
            return
        for name in self.wanted & self.served.keys():
            now = version(self.served[name])
            held = {self.seen.get(name), self.claimed.get(name) if name not in self.seen else None}
            assert now in held or (name, now) in self.rejected


class Delta(Conversations):
    def open(self) -> DeltaTalk:
        return DeltaTalk(rejections=self.rejections)

    @rule(name=NAMES)
    def subscribe(self, name: str) -> None:
        self.wanted.add(name)
        self.asked.add(name)
        before = len(self.unanswered)
        self.take(self.talk.says(name))
        # A name is answered if it is there, whatever went before.
        answered = {resource.name for response in self.unanswered[before:] for resource in response.resources}
        assert (name in answered) == (name in self.served)

    @rule(name=NAMES)
    def unsubscribe(self, name: str) -> None:
        self.wanted.discard(name)
        self.asked.discard(name)
        self.seen.pop(name, None)
        self.claimed.pop(name, None)
        self.take(self.talk.says(unsubscribe=(name,)))

    @rule(remembers=st.booleans())
    def come_back(self, remembers: bool) -> None:
        if not remembers:
            self.runs.clear()
        self.begin()
        self.claimed = {name: held for name, held in self.runs.items() if name in self.wanted}
        self.asked = self.wanted - self.claimed.keys()
        self.take(self.talk.says(*sorted(self.wanted), initial_versions=self.claimed, nonce="old"))

    def reply(self, response: Response, error: Any) -> list[Response]:
        return self.talk.says(nonce=response.nonce, error=error)


class Sotw(Conversations):
    def begin(self) -> None:
        super().begin()
        self.nonce = ""
        self.version = ""

    def open(self) -> SotwTalk:
        return SotwTalk(rejections=self.rejections)

    def request(self, error: Any = None) -> list[Response]:
        return self.talk.says(*sorted(self.wanted), version=self.version, nonce=self.nonce, error=error)

    @rule(name=NAMES)
    def subscribe(self, name: str) -> None:
        if name not in self.wanted:
            self.wanted.add(name)
            self.asked.add(name)
        self.take(self.request())

    @rule(name=NAMES)
    def unsubscribe(self, name: str) -> None:
        self.wanted.discard(name)
        self.take(self.request())

    @rule()
    def come_back(self) -> None:
        self.begin()
        if self.wanted & self.runs.keys() == self.wanted and self.wanted:
            self.version = self.runs[min(self.wanted)]
        self.asked = set(self.wanted)
        self.take(self.request())

    def reply(self, response: Response, error: Any) -> list[Response]:
        assert isinstance(response, SotwResponse)
        self.nonce = response.nonce
        if error is None:
            self.version = response.version
        return self.request(error)


FULLY = settings(max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TestDelta = Delta.TestCase
TestDelta.settings = FULLY
TestSotw = Sotw.TestCase
TestSotw.settings = FULLY
