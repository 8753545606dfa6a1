from __future__ import annotations

import grpc
import pytest

from hfi_xds.ledger import MAX_MESSAGE, MAX_UNANSWERED, NOT_APPLIED, StaleNonce
from hfi_xds.messages import CODES, DeltaRequest, Rejection
from hfi_xds.rejections import Rejections
from hfi_xds.resource_types import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, RULES
from hfi_xds.resources import ResourceSnapshot
from hfi_xds.session import delta_session
from tests.unit.xds.talk import HELLO, NO, DeltaTalk, sent, version

V1, V2 = version("one"), version("two")


# -- what is sent ---------------------------------------------------------------------------------------------


def test_a_subscription_is_answered_with_the_resource_under_its_own_version() -> None:
    talk = DeltaTalk(hfi="one", other="not asked for")
    [response] = talk.says("hfi")
    assert (response.type_url, response.nonce, response.removed) == (EXTENSION_CONFIG, "1", ())
    [resource] = response.resources
    assert (resource.name, resource.version, resource.body) == ("hfi", V1, b"one")


def test_an_acknowledgement_is_answered_by_nothing() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    assert talk.says(nonce="1") == []
    assert talk.states() == [("hfi", V1, "sent"), ("hfi", V1, "acked")]


def test_a_change_is_sent_once_under_a_new_nonce() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(nonce="1")
    [response] = talk.serves(hfi="two")
    assert (response.nonce, sent([response])) == ("2", [{"hfi": "two"}])
    assert talk.serves(hfi="two") == []


def test_a_change_while_an_answer_is_outstanding_is_not_held_back() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    assert sent(talk.serves(hfi="two")) == [{"hfi": "two"}]
    talk.events()
    talk.says(nonce="1")
    talk.says(nonce="2")
    assert talk.states() == [("hfi", V1, "acked"), ("hfi", V2, "acked")]


def test_changes_of_others_are_none_of_this_clients_business() -> None:
    talk = DeltaTalk(hfi="one", other="one")
    talk.says("hfi")
    assert talk.serves(hfi="one", other="two") == []


def test_each_extension_configuration_has_a_response_of_its_own() -> None:
    """So that an answer is an answer about that resource: one bad resource would have the good ones rejected."""
    talk = DeltaTalk(a="1", b="2")
    assert sent(talk.says("a", "b")) == [{"a": "1"}, {"b": "2"}]


def test_other_types_share_a_response() -> None:
    talk = DeltaTalk(ENDPOINT, a="1", b="2")
    assert sent(talk.says("a", "b")) == [{"a": "1", "b": "2"}]


# -- subscriptions --------------------------------------------------------------------------------------------


def test_a_name_that_is_subscribed_again_is_answered_again() -> None:
    """The client may have forgotten it, whatever we think that it has."""
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(nonce="1")
    assert sent(talk.says("hfi")) == [{"hfi": "one"}]


def test_an_unsubscribed_name_is_sent_no_more_and_its_end_is_not_answered() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    assert talk.says(unsubscribe=("hfi",), nonce="1") == []
    assert talk.serves(hfi="two") == []
    assert sent(talk.says("hfi")) == [{"hfi": "two"}]


def test_a_name_that_leaves_and_returns_unchanged_is_sent_again() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(unsubscribe=("hfi",))
    assert sent(talk.says("hfi")) == [{"hfi": "one"}]


def test_leaving_and_returning_in_one_request_is_returning() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    assert sent(talk.says("hfi", unsubscribe=("hfi",))) == [{"hfi": "one"}]


def test_unsubscribing_what_was_never_subscribed_is_ignored() -> None:
    talk = DeltaTalk(ENDPOINT, hfi="one")
    talk.says("hfi")
    assert talk.says(unsubscribe=("phantom",)) == []


def test_a_first_request_that_only_unsubscribes_asks_for_nothing() -> None:
    talk = DeltaTalk(CLUSTER, a="1")
    assert talk.says(unsubscribe=("a",)) == []
    assert talk.serves(a="2") == []


def test_subscriptions_count_however_old_the_nonce_is() -> None:
    talk = DeltaTalk(hfi="one", other="1")
    talk.says("hfi")
    assert sent(talk.says("other", nonce="from another stream")) == [{"other": "1"}]
    assert StaleNonce(EXTENSION_CONFIG) in talk.events()


def test_a_request_with_a_subscription_and_an_acknowledgement_is_both() -> None:
    talk = DeltaTalk(hfi="one", other="1")
    talk.says("hfi")
    talk.events()
    assert sent(talk.says("other", nonce="1")) == [{"other": "1"}]
    assert talk.states()[0] == ("hfi", V1, "acked")


def test_the_same_nonce_is_answered_once() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(nonce="1")
    talk.events()
    assert talk.says(nonce="1", error=NO) == []
    assert talk.events() == [StaleNonce(EXTENSION_CONFIG)]


def test_answers_that_never_come_are_forgotten() -> None:
    talk = DeltaTalk(hfi="0")
    talk.says("hfi")
    for number in range(MAX_UNANSWERED):
        talk.serves(hfi=str(number + 1))
    talk.events()
    talk.says(nonce="1")
    talk.says(nonce="2")
    assert talk.events()[0] == StaleNonce(EXTENSION_CONFIG)
    talk.says(nonce=str(MAX_UNANSWERED + 1))
    assert talk.states()[-1][2] == "acked"


# -- what does not exist --------------------------------------------------------------------------------------


def test_what_does_not_exist_is_said_once_and_sent_when_it_appears() -> None:
    talk = DeltaTalk(ENDPOINT)
    [response] = talk.says("a")
    assert (response.resources, response.removed) == ((), ("a",))
    assert talk.says(nonce="1") == []
    assert sent(talk.serves(a="1")) == [{"a": "1"}]


def test_what_is_taken_away_is_removed_once() -> None:
    talk = DeltaTalk(ENDPOINT, a="1", b="1")
    talk.says("a", "b")
    [response] = talk.serves(b="2")
    assert (sent([response]), response.removed) == ([{"b": "2"}], ("a",))
    assert talk.serves(b="2") == []


def test_an_extension_configuration_is_never_removed() -> None:
    """Neither as an answer to a first subscription (a listener would hang) nor while it is live (500)."""
    talk = DeltaTalk()
    assert talk.says("hfi") == []
    assert sent(talk.serves(hfi="one")) == [{"hfi": "one"}]
    assert talk.serves() == []
    # It is still there for this client, and comes back as a change or not at all.
    assert talk.serves(hfi="one") == []
    assert sent(talk.serves(hfi="two")) == [{"hfi": "two"}]


# -- rejections -----------------------------------------------------------------------------------------------


def test_what_was_rejected_is_not_sent_again_until_it_changes() -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(nonce="1")
    assert sent(talk.serves(hfi="bad")) == [{"hfi": "bad"}]
    assert talk.says(nonce="2", error=NO) == []
    assert talk.events()[-1].message == NO.message  # type: ignore[union-attr]
    assert talk.serves(hfi="bad", other="1") == []
    assert sent(talk.serves(hfi="two")) == [{"hfi": "two"}]
    talk.says(nonce="3")
    # Nor does it help to come back to it.
    assert talk.serves(hfi="bad") == []
    assert sent(talk.serves(hfi="one")) == [{"hfi": "one"}]


def test_a_change_that_overtakes_a_rejection_stands() -> None:
    talk = DeltaTalk(hfi="bad")
    talk.says("hfi")
    talk.serves(hfi="two")
    assert talk.says(nonce="1", error=NO) == []
    talk.events()
    talk.says(nonce="2")
    assert talk.states() == [("hfi", V2, "acked")]


def test_a_rejection_is_told_by_its_error_alone() -> None:
    """The code may be anything, even that of success."""
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(nonce="1", error=Rejection(0, ""))
    assert talk.states()[-1] == ("hfi", V1, "nacked")


@pytest.mark.parametrize(
    ("code", "message", "told"),
    [
        (13, "Unable to create Wasm plugin", "Unable to create Wasm plugin"),
        (0, "no", "no"),
        (3, "no", "INVALID_ARGUMENT: no"),
        (8, "", "RESOURCE_EXHAUSTED"),
        (16, "who?", "UNAUTHENTICATED: who?"),
        (17, "no", "code 17: no"),
        (-1, "", "code -1"),
        (13, "x" * 5_000, "x" * MAX_MESSAGE),
        (9, "x" * 5_000, "FAILED_PRECONDITION: " + "x" * (MAX_MESSAGE - 21)),
    ],
)
def test_a_rejection_is_told_by_its_code_and_words_as_far_as_they_say_something(
    code: int, message: str, told: str
) -> None:
    talk = DeltaTalk(hfi="one")
    talk.says("hfi")
    talk.says(nonce="1", error=Rejection(code, message))
    assert talk.events()[-1].message == told  # type: ignore[union-attr]


def test_the_codes_are_those_of_grpc() -> None:
    assert {code.name: code.value[0] for code in grpc.StatusCode} == {name: code for code, name in enumerate(CODES)}


def test_an_acknowledgement_of_what_was_rejected_is_not_believed() -> None:
    talk = DeltaTalk(hfi="bad")
    talk.says("hfi")
    talk.says(nonce="1", error=NO)
    # A name is always answered: a listener may be waiting.
    assert sent(talk.says("hfi")) == [{"hfi": "bad"}]
    talk.events()
    talk.says(nonce="2")
    [event] = talk.events()
    assert (event.state, event.message) == ("not_applied", NOT_APPLIED)  # type: ignore[union-attr]


def test_rejections_are_remembered_on_the_next_stream_of_the_node() -> None:
    rejections = Rejections()
    first = DeltaTalk(rejections=rejections, hfi="one")
    first.says("hfi")
    first.says(nonce="1")
    first.serves(hfi="bad")
    first.says(nonce="2", error=NO)
    second = DeltaTalk(rejections=rejections, hfi="bad")
    assert second.says("hfi", initial_versions={"hfi": V1}) == []
    assert second.states() == [("hfi", V1, "acked")]
    assert sent(second.serves(hfi="two")) == [{"hfi": "two"}]
    # One that has nothing may be waiting, and is answered; its yes is not believed.
    third = DeltaTalk(rejections=rejections, hfi="bad")
    assert sent(third.says("hfi")) == [{"hfi": "bad"}]
    third.says(nonce="1")
    assert third.states()[-1] == ("hfi", version("bad"), "not_applied")


# -- coming back ----------------------------------------------------------------------------------------------


def test_who_comes_back_is_sent_only_what_differs() -> None:
    talk = DeltaTalk(a="1", b="2", c="3")
    responses = talk.says("a", "b", "c", initial_versions={"a": version("1"), "b": version("old")})
    assert sent(responses) == [{"b": "2"}, {"c": "3"}]
    # What it has already counts as acknowledged, or it would look as if it were lost after each failover.
    assert ("a", version("1"), "acked") in talk.states()


def test_the_nonce_of_a_first_request_belongs_to_another_stream() -> None:
    talk = DeltaTalk(hfi="one")
    assert sent(talk.says("hfi", nonce="17")) == [{"hfi": "one"}]
    assert StaleNonce(EXTENSION_CONFIG) not in talk.events()


def test_versions_count_in_the_first_request_alone() -> None:
    talk = DeltaTalk(hfi="one", other="1")
    talk.says("hfi")
    assert sent(talk.says("other", initial_versions={"other": version("1")})) == [{"other": "1"}]


def test_what_went_while_the_client_was_away_is_removed() -> None:
    talk = DeltaTalk(ENDPOINT)
    # Not at once: it may have routes that lead there, and has not had the time to ask for them.
    [response] = talk.says("a", initial_versions={"a": "x"})
    assert (response.resources, response.removed) == ((), ())
    [response] = talk.says(nonce=response.nonce)
    assert response.removed == ("a",)


def test_on_a_stream_of_one_type_what_went_is_removed_at_once() -> None:
    session = delta_session(Rejections(), ENDPOINT)
    session.receive(DeltaRequest("", ("a",), initial_versions={"a": "x"}, hello=HELLO))
    response = session.next(ResourceSnapshot.of(types=[ENDPOINT]))
    assert response is not None
    assert response.removed == ("a",)


def test_an_extension_configuration_that_went_while_the_client_was_away_is_not_removed() -> None:
    talk = DeltaTalk()
    assert talk.says("hfi", initial_versions={"hfi": V1}) == []
    # Nothing is reported of a name that we do not know: it is the client's own invention.
    assert talk.events() == []


def test_versions_of_names_that_are_not_subscribed_say_nothing() -> None:
    talk = DeltaTalk(ENDPOINT, a="1")
    assert sent(talk.says("a", initial_versions={"a": version("1"), "b": "x"})) == []


# -- everything -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [(), ("*",)], ids=["naming nothing", "asterisk"])
def test_everything_may_be_asked_for_of_some_types(first: tuple[str, ...]) -> None:
    talk = DeltaTalk(CLUSTER, a="1", b="1")
    assert sent(talk.says(*first)) == [{"a": "1", "b": "1"}]
    assert sent(talk.serves(a="1", b="1", c="1")) == [{"c": "1"}]
    [response] = talk.serves(a="1", c="1")
    assert response.removed == ("b",)


@pytest.mark.parametrize("type_url", [url for url, rules in RULES.items() if not rules.wildcard])
@pytest.mark.parametrize("first", [(), ("*",)], ids=["naming nothing", "asterisk"])
def test_everything_cannot_be_asked_for_of_the_others(type_url: str, first: tuple[str, ...]) -> None:
    talk = DeltaTalk(type_url, a="1")
    assert talk.says(*first) == []
    assert talk.says("*") == []
    assert talk.serves(a="2") == []


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_even_nothing_at_all_is_said_once(type_url: str) -> None:
    """Envoy's start goes no further without an answer."""
    talk = DeltaTalk(type_url)
    [response] = talk.says()
    assert (response.resources, response.removed) == ((), ())
    assert talk.says(nonce="1") == []


def test_who_asked_for_everything_may_name_something_as_well() -> None:
    talk = DeltaTalk(CLUSTER, a="1")
    talk.says("*")
    assert sent(talk.says("a")) == [{"a": "1"}]
    # No longer naming it is answered with what it is now, for everything is still subscribed.
    assert sent(talk.says(unsubscribe=("a",))) == [{"a": "1"}]
    talk.says("gone")
    [response] = talk.says(unsubscribe=("gone",))
    assert response.removed == ("gone",)


def test_everything_can_be_given_up() -> None:
    talk = DeltaTalk(CLUSTER, a="1", b="1")
    talk.says("*", "b")
    assert talk.says(unsubscribe=("*",)) == []
    assert sent(talk.serves(a="2", b="2")) == [{"b": "2"}]
    assert sent(talk.says("*")) == [{"a": "2", "b": "2"}]
    assert talk.says(unsubscribe=("*", "*")) == []


def test_giving_up_everything_leaves_nothing_owed() -> None:
    """Two requests that come before we get to answer: what the first asked for, the second no longer wants."""
    talk = DeltaTalk(CLUSTER, a="1", b="1")
    talk.says("b")
    for subscribe, unsubscribe in ((("*", "a"), ()), ((), ("a",)), ((), ("*",))):
        talk.session.receive(DeltaRequest(CLUSTER, subscribe, unsubscribe))
    assert talk.due() == []
    assert talk.serves(b="1") == []


def test_coming_back_for_everything() -> None:
    talk = DeltaTalk(CLUSTER, a="1", b="2")
    versions = {"a": version("1", CLUSTER), "b": "old", "gone": "x"}
    [response] = talk.says("*", initial_versions=versions)
    assert (sent([response]), response.removed) == ([{"b": "2"}], ())
    [response] = talk.says(nonce=response.nonce)
    assert (response.resources, response.removed) == ((), ("gone",))
