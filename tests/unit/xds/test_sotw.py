from __future__ import annotations

import pytest

from hfi_xds.ledger import StaleNonce
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, RULES
from hfi_xds.resources import combined_version
from tests.unit.xds.talk import NO, SotwTalk, of, sent, version

V1, V2 = version("one"), version("two")
BAD = version("bad")


# -- what is sent ---------------------------------------------------------------------------------------------


def test_a_request_is_answered_with_the_resource_under_its_own_version() -> None:
    talk = SotwTalk(hfi="one", other="not asked for")
    [response] = talk.says("hfi")
    assert (response.type_url, response.version, response.nonce) == (EXTENSION_CONFIG, V1, "1")
    assert sent([response]) == [{"hfi": "one"}]


def test_an_acknowledgement_is_answered_by_nothing() -> None:
    talk = SotwTalk(hfi="one")
    talk.says("hfi")
    assert talk.says("hfi", version=V1, nonce="1") == []
    assert talk.states() == [("hfi", V1, "sent"), ("hfi", V1, "acked")]


def test_a_change_is_sent_once() -> None:
    talk = SotwTalk(hfi="one")
    talk.says("hfi")
    talk.says("hfi", version=V1, nonce="1")
    [response] = talk.serves(hfi="two")
    assert (response.nonce, response.version) == ("2", V2)
    assert talk.serves(hfi="two") == []
    assert talk.says("hfi", version=V2, nonce="2") == []


def test_what_is_due_is_not_decided_by_what_the_client_claims() -> None:
    talk = SotwTalk(hfi="one")
    assert sent(talk.says("hfi", version=V1)) == [{"hfi": "one"}]
    # An older version in an acknowledgement is nothing to act on either: a rejection would carry it too.
    assert talk.says("hfi", version="0", nonce="1") == []


def test_each_extension_configuration_has_a_response_of_its_own() -> None:
    talk = SotwTalk(a="1", b="2")
    responses = talk.says("a", "b")
    assert sent(responses) == [{"a": "1"}, {"b": "2"}]
    assert [response.version for response in responses] == [version("1"), version("2")]
    assert talk.says("a", "b", nonce="1") == []
    assert talk.says("a", "b", nonce="2") == []
    assert [state for *_, state in talk.states()] == ["sent", "sent", "acked", "acked"]


def test_others_that_need_not_be_whole_send_what_changed() -> None:
    talk = SotwTalk(ENDPOINT, a="1", b="1")
    [response] = talk.says("a", "b")
    assert response.version == combined_version(of(ENDPOINT, a="1", b="1"))
    [response] = talk.serves(a="2", b="1")
    assert sent([response]) == [{"a": "2"}]
    assert response.version == combined_version(of(ENDPOINT, a="2", b="1"))


# -- subscriptions --------------------------------------------------------------------------------------------


def test_names_that_are_new_in_a_request_are_sent() -> None:
    talk = SotwTalk(a="1", b="2")
    assert sent(talk.says("a")) == [{"a": "1"}]
    # Envoy's second listener, before it has seen the first response: the nonce is empty still.
    assert sent(talk.says("b", "a")) == [{"b": "2"}]


def test_names_that_are_left_out_are_no_longer_wanted() -> None:
    talk = SotwTalk(a="1", b="2")
    talk.says("a", "b")
    assert talk.says("b", nonce="2") == []
    assert sent(talk.serves(a="3", b="3")) == [{"b": "3"}]
    assert sent(talk.says("a", "b", nonce="3")) == [{"a": "3"}]


def test_a_name_that_leaves_and_returns_unchanged_is_sent_again() -> None:
    talk = SotwTalk(a="1")
    talk.says("a")
    assert talk.says(nonce="1") == []
    assert sent(talk.says("a", nonce="1")) == [{"a": "1"}]


def test_what_does_not_exist_is_sent_when_it_appears_and_taken_away_by_nothing() -> None:
    talk = SotwTalk()
    assert talk.says("hfi") == []
    assert sent(talk.serves(hfi="one")) == [{"hfi": "one"}]
    assert talk.serves() == []
    assert talk.serves(hfi="one") == []


@pytest.mark.parametrize("type_url", [url for url, rules in RULES.items() if not rules.wildcard])
@pytest.mark.parametrize("names", [(), ("*",)], ids=["naming nothing", "asterisk"])
def test_everything_cannot_be_asked_for_of_some_types(type_url: str, names: tuple[str, ...]) -> None:
    talk = SotwTalk(type_url, a="1")
    assert talk.says(*names) == []
    assert talk.serves(a="2") == []


# -- nonces ---------------------------------------------------------------------------------------------------


def test_a_request_with_an_old_nonce_changes_nothing() -> None:
    talk = SotwTalk(a="1", b="1")
    talk.says("a")
    talk.serves(a="2", b="1")
    talk.events()
    assert talk.says("a", "b", nonce="from another stream") == []
    assert talk.events() == [StaleNonce(EXTENSION_CONFIG)]
    # The same names with the nonce that is current are heard.
    assert sent(talk.says("a", "b", nonce="2")) == [{"b": "1"}]


def test_what_an_old_nonce_answers_is_heard_all_the_same() -> None:
    talk = SotwTalk(hfi="bad")
    talk.says("hfi")
    talk.serves(hfi="two")
    talk.events()
    assert talk.says("hfi", nonce="1", error=NO) == []
    assert talk.says("hfi", version=V2, nonce="2") == []
    assert talk.states() == [("hfi", BAD, "nacked"), ("hfi", V2, "acked")]


@pytest.mark.parametrize("nonce", ["", "17"])
def test_a_first_request_is_answered_whatever_its_nonce(nonce: str) -> None:
    """It is from the stream to another replica, and Envoy may claim a version that it no longer has."""
    talk = SotwTalk(hfi="one")
    assert sent(talk.says("hfi", version=V1, nonce=nonce)) == [{"hfi": "one"}]
    assert StaleNonce(EXTENSION_CONFIG) not in talk.events()


# -- rejections -----------------------------------------------------------------------------------------------


def test_what_was_rejected_is_not_sent_again_until_it_changes() -> None:
    talk = SotwTalk(hfi="one")
    talk.says("hfi")
    talk.says("hfi", version=V1, nonce="1")
    assert sent(talk.serves(hfi="bad")) == [{"hfi": "bad"}]
    # The version in a rejection is the one before. Servers that compare with it resend at once, for ever.
    assert talk.says("hfi", version=V1, nonce="2", error=NO) == []
    assert talk.states()[-1] == ("hfi", BAD, "nacked")
    assert talk.serves(hfi="bad", other="1") == []
    assert sent(talk.serves(hfi="two")) == [{"hfi": "two"}]
    talk.says("hfi", version=V2, nonce="3")
    assert talk.serves(hfi="bad") == []
    assert sent(talk.serves(hfi="one")) == [{"hfi": "one"}]


def test_an_acknowledgement_of_what_was_rejected_is_not_believed() -> None:
    rejections = Rejections()
    first = SotwTalk(rejections=rejections, hfi="bad")
    first.says("hfi")
    first.says("hfi", nonce="1", error=NO)
    # The node comes back with nothing: a listener may be waiting, so it is answered.
    second = SotwTalk(rejections=rejections, hfi="bad")
    assert sent(second.says("hfi")) == [{"hfi": "bad"}]
    second.says("hfi", version=BAD, nonce="1")
    assert second.states() == [("hfi", BAD, "sent"), ("hfi", BAD, "not_applied")]
    # With something that it runs, nothing waits.
    third = SotwTalk(rejections=rejections, hfi="bad")
    assert third.says("hfi", version=V1, nonce="9") == []
    assert sent(third.serves(hfi="two")) == [{"hfi": "two"}]


def test_a_name_that_was_held_and_let_go_may_be_waited_for_again() -> None:
    rejections = Rejections()
    rejections.add("checkout-1", EXTENSION_CONFIG, "hfi", BAD)
    talk = SotwTalk(rejections=rejections, hfi="bad", other="1")
    assert sent(talk.says("hfi", "other", version=V1)) == [{"other": "1"}]
    assert talk.says("other", nonce="1") == []
    assert sent(talk.says("hfi", "other", nonce="1")) == [{"hfi": "bad"}]


# -- the whole state ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
@pytest.mark.parametrize("first", [(), ("*",)], ids=["naming nothing", "asterisk"])
def test_a_response_is_the_whole_state(type_url: str, first: tuple[str, ...]) -> None:
    talk = SotwTalk(type_url, a="1", b="1")
    [response] = talk.says(*first)
    assert sent([response]) == [{"a": "1", "b": "1"}]
    assert response.version == combined_version(of(type_url, b="1", a="1"))
    assert talk.says(*first, nonce="1") == []
    # What is absent is deleted.
    assert sent(talk.serves(a="1")) == [{"a": "1"}]
    assert sent(talk.serves()) == [{}]
    assert talk.serves() == []


@pytest.mark.parametrize("names", [(), ("a",)], ids=["everything", "a name"])
def test_even_an_empty_state_is_said_once(names: tuple[str, ...]) -> None:
    """Envoy's start goes no further without an answer."""
    talk = SotwTalk(CLUSTER)
    assert sent(talk.says(*names)) == [{}]
    assert talk.says(*names, nonce="1") == []


def test_naming_nothing_is_everything_only_at_first() -> None:
    talk = SotwTalk(CLUSTER, a="1", b="1")
    talk.says()
    assert sent(talk.says("a", nonce="1")) == [{"a": "1"}]
    # Now it means that nothing is wanted.
    assert talk.says(nonce="2") == []
    assert talk.serves(a="2", b="2") == []
    assert sent(talk.says("*", nonce="2")) == [{"a": "2", "b": "2"}]


def test_a_state_that_was_rejected_is_not_sent_again() -> None:
    talk = SotwTalk(CLUSTER, a="bad")
    talk.says()
    assert talk.says(nonce="1", error=NO) == []
    assert talk.serves(a="bad") == []
    assert sent(talk.serves(a="2")) == [{"a": "2"}]


def test_a_name_that_is_new_in_a_request_is_answered_with_the_whole_state() -> None:
    talk = SotwTalk(CLUSTER, a="1", b="1")
    talk.says("a")
    assert sent(talk.says("a", "b", nonce="1")) == [{"a": "1", "b": "1"}]
    assert talk.says("a", nonce="2") == []
