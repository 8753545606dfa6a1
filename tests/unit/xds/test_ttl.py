"""A time to live, and the heartbeats that keep it: who is sent what, in both variants."""

from __future__ import annotations

from typing import Any

import pytest

from hfi_xds import pb, wire
from hfi_xds.messages import DeltaRequest, DeltaResponse, SotwRequest, SotwResponse
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, EXTENSION_CONFIG
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import delta_session, sotw_session
from tests.unit.xds.talk import HELLO, NO, of, version

TTL = 6.0


class Delta:
    def __init__(self, ttl: float = TTL, **brought: str) -> None:
        self.session: Any = delta_session(Rejections(), ttl_seconds=ttl)
        self.session.receive(DeltaRequest(EXTENSION_CONFIG, ("hfi",), initial_versions=brought, hello=HELLO))

    def answer(self, nonce: str, error: Any = None) -> None:
        self.session.receive(DeltaRequest(EXTENSION_CONFIG, nonce=nonce, error=error))


class Sotw:
    def __init__(self, ttl: float = TTL) -> None:
        self.session: Any = sotw_session(Rejections(), ttl_seconds=ttl)
        self.session.receive(SotwRequest(EXTENSION_CONFIG, ("hfi",), hello=HELLO))

    def answer(self, nonce: str, error: Any = None) -> None:
        self.session.receive(SotwRequest(EXTENSION_CONFIG, ("hfi",), nonce=nonce, error=error))


BOTH = pytest.mark.parametrize("client", [Delta, Sotw])
ONE, TWO = ResourceSnapshot.of(*of(hfi="one")), ResourceSnapshot.of(*of(hfi="two"))


def beat(response: Any) -> tuple[str, str]:
    """The name and version that a heartbeat keeps alive."""
    assert response is not None
    assert (response.heartbeat, response.ttl_seconds) == (True, TTL)
    if isinstance(response, DeltaResponse):
        assert response.resources == ()
        [alive] = response.alive
        return alive
    # Of this variant Envoy takes no heartbeat but the whole resource.
    [resource] = response.resources
    assert resource.body
    return resource.name, resource.version


@BOTH
def test_what_a_client_has_is_kept_alive_and_nothing_is_said_of_it(client: Any) -> None:
    it = client()
    first = it.session.next(ONE)
    assert (first.ttl_seconds, first.heartbeat) == (TTL, False)
    it.answer(first.nonce)
    it.session.take_events()
    for _ in range(3):
        # One for each time that it is asked for.
        it.session.heartbeat()
        response = it.session.next(ONE)
        assert beat(response) == ("hfi", version("one"))
        it.answer(response.nonce)
        assert it.session.next(ONE) is None
    assert it.session.take_events() == ()


@BOTH
def test_without_a_time_to_live_there_is_nothing_of_it(client: Any) -> None:
    it = client(ttl=0)
    response = it.session.next(ONE)
    assert response.ttl_seconds == 0
    it.answer(response.nonce)
    assert it.session.next(ONE) is None


@BOTH
def test_what_is_on_its_way_is_not_overtaken(client: Any) -> None:
    it = client()
    it.answer(it.session.next(ONE).nonce)
    newer = it.session.next(TWO)
    it.session.heartbeat()
    # A heartbeat of the older now would be no heartbeat.
    assert it.session.next(TWO) is None
    it.answer(newer.nonce)
    assert beat(it.session.next(TWO)) == ("hfi", version("two"))


@BOTH
def test_what_was_rejected_is_not_kept_alive_but_what_runs_is(client: Any) -> None:
    it = client()
    it.answer(it.session.next(ONE).nonce)
    it.answer(it.session.next(TWO).nonce, NO)
    it.session.heartbeat()
    assert beat(it.session.next(TWO)) == ("hfi", version("one"))


@BOTH
def test_who_runs_nothing_is_sent_no_heartbeat(client: Any) -> None:
    it = client()
    it.answer(it.session.next(ONE).nonce, NO)
    it.session.heartbeat()
    assert it.session.next(ONE) is None


@BOTH
def test_what_is_taken_away_stays_and_lives(client: Any) -> None:
    it = client()
    it.answer(it.session.next(ONE).nonce)
    it.session.heartbeat()
    assert beat(it.session.next(ResourceSnapshot.of(types=[EXTENSION_CONFIG]))) == ("hfi", version("one"))


def test_who_comes_back_with_it_is_sent_a_sign_of_life_at_once() -> None:
    """How long it has been alone, nobody knows."""
    it = Delta(hfi=version("one"))
    assert beat(it.session.next(ONE)) == ("hfi", version("one"))
    assert Delta(ttl=0, hfi=version("one")).session.next(ONE) is None


def test_what_had_died_before_the_heartbeat_is_sent_again() -> None:
    it = Delta()
    it.answer(it.session.next(ONE).nonce)
    it.session.heartbeat()
    it.answer(it.session.next(ONE).nonce, NO)
    response = it.session.next(ONE)
    assert [resource.body for resource in response.resources] == [b"one"]


def test_nothing_but_extension_configurations_may_die() -> None:
    session = delta_session(Rejections(), ttl_seconds=TTL)
    session.receive(DeltaRequest(CLUSTER, hello=HELLO))
    snapshot = ResourceSnapshot.of(*of(CLUSTER, a="1"))
    response = session.next(snapshot)
    assert response is not None
    assert response.ttl_seconds == 0
    session.receive(DeltaRequest(CLUSTER, nonce=response.nonce))
    session.heartbeat()
    assert session.next(snapshot) is None


def test_on_the_wire_a_heartbeat_has_no_body_and_in_sotw_a_resource_is_wrapped() -> None:
    [resource] = of(hfi="one")
    alive = (("hfi", "v"),)
    message = wire.delta_response(DeltaResponse(EXTENSION_CONFIG, "1", (resource,), (), alive, 1.5), "me")
    full, light = message.resources
    assert (full.resource.value, full.ttl.ToMilliseconds()) == (b"one", 1_500)
    assert (light.name, light.version, light.HasField("resource"), light.ttl.ToMilliseconds()) == (
        *("hfi", "v"),
        False,
        1_500,
    )
    [packed] = wire.sotw_response(SotwResponse(EXTENSION_CONFIG, "v", "1", (resource,), 1.5), "me").resources
    wrapped = pb.Resource()
    assert packed.Unpack(wrapped)
    assert (wrapped.name, wrapped.version, wrapped.resource.value) == ("hfi", resource.version, b"one")
    assert (wrapped.resource.type_url, wrapped.ttl.ToMilliseconds()) == (EXTENSION_CONFIG, 1_500)
    [bare] = wire.sotw_response(SotwResponse(EXTENSION_CONFIG, "v", "1", (resource,)), "me").resources
    assert bare.type_url == EXTENSION_CONFIG
