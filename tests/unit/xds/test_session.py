from __future__ import annotations

import pytest

from hfi_core.snapshot import NodeIdentity
from hfi_xds.errors import StreamRefused
from hfi_xds.ledger import UnknownType
from hfi_xds.messages import DeltaRequest, Hello, SotwRequest
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, PREFIX
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import MAX_NAMES, MAX_TEXT, DeltaSession, SotwSession, delta_session, sotw_session
from tests.unit.xds.talk import HELLO, NO, of

UNHEARD = PREFIX + "envoy.service.runtime.v3.Runtime"


def delta(only_type: str | None = None) -> DeltaSession:
    return delta_session(Rejections(), only_type)


def sotw(only_type: str | None = None) -> SotwSession:
    return sotw_session(Rejections(), only_type)


# -- who it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hello", [None, Hello(NodeIdentity.of(""))], ids=["no node", "no id"])
def test_the_first_message_must_say_who_it_is(hello: Hello | None) -> None:
    with pytest.raises(StreamRefused, match=r"must carry node\.id") as refused:
        delta().receive(DeltaRequest(EXTENSION_CONFIG, ("hfi",), hello=hello))
    assert refused.value.code == "INVALID_ARGUMENT"
    with pytest.raises(StreamRefused, match=r"must carry node\.id"):
        sotw().receive(SotwRequest(EXTENSION_CONFIG, ("hfi",), hello=hello))


def test_a_node_id_has_a_length() -> None:
    delta().receive(DeltaRequest(EXTENSION_CONFIG, hello=Hello(NodeIdentity.of("n" * MAX_TEXT))))
    with pytest.raises(StreamRefused, match="longer than"):
        delta().receive(DeltaRequest(EXTENSION_CONFIG, hello=Hello(NodeIdentity.of("n" * (MAX_TEXT + 1)))))


def test_who_it_is_is_remembered_and_cannot_be_changed() -> None:
    session = delta()
    assert session.node is None
    session.receive(DeltaRequest(EXTENSION_CONFIG, hello=HELLO))
    session.receive(DeltaRequest(EXTENSION_CONFIG))
    session.receive(DeltaRequest(EXTENSION_CONFIG, hello=Hello(NodeIdentity.of("somebody else"))))
    assert (session.hello, session.node) == (HELLO, HELLO.node)


def test_a_refused_first_message_leaves_nobody() -> None:
    session = delta()
    with pytest.raises(StreamRefused):
        session.receive(DeltaRequest(EXTENSION_CONFIG))
    assert session.hello is None


# -- types ----------------------------------------------------------------------------------------------------


def test_the_aggregated_service_must_be_told_the_type() -> None:
    with pytest.raises(StreamRefused, match="type_url is missing") as refused:
        delta().receive(DeltaRequest(hello=HELLO))
    assert refused.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("type_url", ["", EXTENSION_CONFIG])
def test_the_service_of_one_type_knows_it(type_url: str) -> None:
    session = sotw(EXTENSION_CONFIG)
    session.receive(SotwRequest(type_url, ("hfi",), hello=HELLO))
    response = session.next(ResourceSnapshot.of(*of(hfi="one")))
    assert response is not None
    assert response.type_url == EXTENSION_CONFIG


def test_the_service_of_one_type_serves_no_other() -> None:
    with pytest.raises(StreamRefused, match="not " + CLUSTER):
        sotw(EXTENSION_CONFIG).receive(SotwRequest(CLUSTER, hello=HELLO))


def test_a_type_that_nobody_knows_is_said_and_not_answered() -> None:
    session = delta()
    session.receive(DeltaRequest(UNHEARD, ("a",), hello=HELLO))
    assert session.take_events() == (UnknownType(UNHEARD),)
    assert session.next(ResourceSnapshot.of(*of(UNHEARD, a="1"), *of(hfi="one"))) is None
    session.receive(DeltaRequest(EXTENSION_CONFIG, ("hfi",)))
    assert session.next(ResourceSnapshot.of(*of(hfi="one"))) is not None


def test_a_type_that_is_known_and_not_served_is_not_answered_until_it_is() -> None:
    session = sotw()
    session.receive(SotwRequest(CLUSTER, hello=HELLO))
    assert session.next(ResourceSnapshot.of(*of(hfi="one"))) is None
    assert session.next(ResourceSnapshot.of(types=[CLUSTER])) is not None


def test_types_are_conversations_of_their_own() -> None:
    session = sotw()
    session.receive(SotwRequest(ENDPOINT, ("a",), hello=HELLO))
    session.receive(SotwRequest(EXTENSION_CONFIG, ("a",)))
    snapshot = ResourceSnapshot.of(*of(ENDPOINT, a="1"), *of(EXTENSION_CONFIG, a="2"))
    first, second = session.next(snapshot), session.next(snapshot)
    assert first is not None
    assert second is not None
    assert first.nonce != second.nonce
    session.take_events()
    session.receive(SotwRequest(EXTENSION_CONFIG, ("a",), nonce=second.nonce, error=NO))
    session.receive(SotwRequest(ENDPOINT, ("a",), nonce=first.nonce))
    told = [(event.type_url, event.state) for event in session.take_events()]  # type: ignore[union-attr]
    assert told == [(EXTENSION_CONFIG, "nacked"), (ENDPOINT, "acked")]


def test_nonces_are_never_used_twice_on_a_stream() -> None:
    session = delta()
    session.receive(DeltaRequest(CLUSTER, hello=HELLO))
    session.receive(DeltaRequest(EXTENSION_CONFIG, ("hfi",)))
    nonces = []
    for number in range(5):
        snapshot = ResourceSnapshot.of(*of(CLUSTER, a=str(number)), *of(hfi=str(number)))
        while (response := session.next(snapshot)) is not None:
            nonces.append(response.nonce)
    assert len(nonces) == len(set(nonces)) == 10


def test_a_slow_client_skips_to_the_newest() -> None:
    session = delta()
    session.receive(DeltaRequest(EXTENSION_CONFIG, ("hfi",), hello=HELLO))
    session.next(ResourceSnapshot.of(*of(hfi="0")))
    # Ninety-nine snapshots that nobody had time to write cost nothing, and are not made up for.
    response = session.next(ResourceSnapshot.of(*of(hfi="100")))
    assert response is not None
    assert [resource.body for resource in response.resources] == [b"100"]
    assert session.next(ResourceSnapshot.of(*of(hfi="100"))) is None


# -- bounds ---------------------------------------------------------------------------------------------------

LONG = "x" * (MAX_TEXT + 1)


@pytest.mark.parametrize(
    "request_",
    [
        DeltaRequest(CLUSTER, (LONG,), hello=HELLO),
        DeltaRequest(CLUSTER, ("a",), initial_versions={LONG: "1"}, hello=HELLO),
        DeltaRequest(CLUSTER, ("a",), initial_versions={"a": LONG}, hello=HELLO),
    ],
    ids=["name", "name that it has", "version that it has"],
)
def test_names_and_versions_have_a_length(request_: DeltaRequest) -> None:
    with pytest.raises(StreamRefused, match="longer than") as refused:
        delta().receive(request_)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_names_have_a_length_in_sotw_too() -> None:
    with pytest.raises(StreamRefused, match="longer than"):
        sotw().receive(SotwRequest(CLUSTER, (LONG,), hello=HELLO))


def names(count: int, prefix: str = "n") -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in range(count))


def test_the_names_of_all_types_together_are_bounded() -> None:
    session = delta()
    half = MAX_NAMES // 2
    session.receive(DeltaRequest(EXTENSION_CONFIG, names(half), hello=HELLO))
    session.receive(DeltaRequest(ENDPOINT, names(half)))
    with pytest.raises(StreamRefused, match="more than") as refused:
        session.receive(DeltaRequest(ENDPOINT, ("one more",)))
    assert refused.value.code == "RESOURCE_EXHAUSTED"


def test_the_names_of_a_sotw_request_are_bounded() -> None:
    session = sotw()
    session.receive(SotwRequest(EXTENSION_CONFIG, names(MAX_NAMES), hello=HELLO))
    with pytest.raises(StreamRefused, match="more than"):
        session.receive(SotwRequest(EXTENSION_CONFIG, names(MAX_NAMES + 1)))


def test_names_that_come_and_go_are_bounded() -> None:
    """Of a type that is not served nothing is ever answered, so all that is owed would pile up."""
    session = delta()
    session.receive(DeltaRequest(CLUSTER, ("*",), hello=HELLO))

    def come_and_go() -> None:
        for turn in range(4):
            crowd = names(MAX_NAMES // 2, f"{turn}-")
            session.receive(DeltaRequest(CLUSTER, crowd))
            session.receive(DeltaRequest(CLUSTER, unsubscribe=crowd))

    with pytest.raises(StreamRefused, match="more than"):
        come_and_go()


def test_what_a_client_says_that_it_has_is_bounded() -> None:
    with pytest.raises(StreamRefused, match="more than"):
        delta().receive(DeltaRequest(CLUSTER, initial_versions=dict.fromkeys(names(MAX_NAMES + 1), "1"), hello=HELLO))


# -- what need not be looked at -------------------------------------------------------------------------------


def test_a_yes_makes_nothing_due_on_a_stream_of_one_type() -> None:
    session, snapshot = delta(), ResourceSnapshot.of(*of(CLUSTER, app="one"))
    assert session.receive(DeltaRequest(CLUSTER, hello=HELLO))
    assert not session.settled(snapshot)
    sent = session.next(snapshot)
    assert sent is not None
    assert session.settled(snapshot), "all of one type went out at once"
    assert not session.receive(DeltaRequest(CLUSTER, nonce=sent.nonce))
    assert session.settled(snapshot)
    assert not session.settled(ResourceSnapshot.of(*of(CLUSTER, app="two")))


@pytest.mark.parametrize(
    "says",
    [
        DeltaRequest(CLUSTER, nonce="1", error=NO),
        DeltaRequest(CLUSTER, nonce="1", subscribe=("app",)),
        DeltaRequest(CLUSTER, nonce="1", unsubscribe=("app",)),
        DeltaRequest(CLUSTER, nonce="7"),
        DeltaRequest(ENDPOINT, subscribe=("app",)),
        DeltaRequest(UNHEARD),
    ],
    ids=["no", "subscribes", "unsubscribes", "answers nothing", "another type", "a type unheard of"],
)
def test_whatever_else_it_says_is_looked_at(says: DeltaRequest) -> None:
    session, snapshot = delta(), ResourceSnapshot.of(*of(CLUSTER, app="one"))
    session.receive(DeltaRequest(CLUSTER, hello=HELLO))
    session.next(snapshot)
    assert session.receive(says)
    assert not session.settled(snapshot)


def test_what_goes_one_by_one_is_asked_for_again() -> None:
    session, snapshot = delta(), ResourceSnapshot.of(*of(a="one", b="two"))
    session.receive(DeltaRequest(EXTENSION_CONFIG, ("a", "b"), hello=HELLO))
    assert session.next(snapshot) is not None
    assert not session.settled(snapshot)
    assert session.next(snapshot) is not None
    assert session.next(snapshot) is None
    assert session.settled(snapshot)


def test_of_several_types_one_may_wait_for_the_answer_of_another() -> None:
    session = delta()
    snapshot = ResourceSnapshot.of(*of(CLUSTER, app="one"), *of(LISTENER, ingress="one"))
    session.receive(DeltaRequest(CLUSTER, hello=HELLO))
    session.receive(DeltaRequest(LISTENER))
    clusters = session.next(snapshot)
    assert clusters is not None
    assert session.next(snapshot) is None
    assert session.receive(DeltaRequest(CLUSTER, nonce=clusters.nonce))
    assert session.next(snapshot) is not None
