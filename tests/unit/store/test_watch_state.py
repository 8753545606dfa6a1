"""The protocol of one watch, as values: etcd's responses in, news out."""

from __future__ import annotations

import pytest

from hfi_core.errors import StoreDenied, StoreError, StoreUnavailable, WatchCompacted
from hfi_core.store.etcd_client.values import KeyChange, WatchNews
from hfi_core.store.etcd_client.watch import WatchState
from hfi_core.store.pb import etcd_pb2 as pb

PUT, DELETE = pb.Event.PUT, pb.Event.DELETE


def response(*revisions: int, header: int = 100, watch: int = 0, fragment: bool = False) -> pb.WatchResponse:
    events = [pb.Event(kv=pb.KeyValue(key=b"k%d" % number, value=b"x", mod_revision=number)) for number in revisions]
    return pb.WatchResponse(header=pb.ResponseHeader(revision=header), events=events, watch_id=watch, fragment=fragment)


def changes(*revisions: int) -> tuple[KeyChange, ...]:
    return tuple(KeyChange(b"k%d" % number, b"x", number) for number in revisions)


@pytest.fixture
def state() -> WatchState:
    return WatchState(b"/a/", b"/a0", 10)


def resumed_at(state: WatchState) -> int:
    return state.create().create_request.start_revision


def test_it_begins_behind_the_revision_that_was_given(state: WatchState) -> None:
    create = state.create().create_request
    assert (create.key, create.range_end, create.start_revision) == (b"/a/", b"/a0", 11)
    assert create.progress_notify
    assert create.fragment


def test_law_1_it_goes_on_behind_the_last_event_and_not_behind_the_stores_revision(state: WatchState) -> None:
    assert state.accept(response(11, 13, header=20)) == WatchNews(changes(11, 13), 13)
    assert resumed_at(state) == 14


def test_law_1_a_progress_notification_of_its_own_moves_it_forward_and_never_back(state: WatchState) -> None:
    assert state.accept(response(header=50)) == WatchNews((), 50)
    assert resumed_at(state) == 51
    assert state.accept(response(header=40)) == WatchNews((), 50)


def test_law_2_the_answer_to_a_progress_request_is_a_sign_of_life_and_no_more(state: WatchState) -> None:
    assert state.accept(response(header=50, watch=-1)) == WatchNews((), 10)
    assert resumed_at(state) == 11


def test_the_answer_that_the_watch_is_made_says_nothing_of_the_revision(state: WatchState) -> None:
    created = pb.WatchResponse(header=pb.ResponseHeader(revision=50), created=True)
    assert state.accept(created) is None
    assert resumed_at(state) == 11


def test_law_3_fragments_are_handed_over_together(state: WatchState) -> None:
    assert state.accept(response(11, 12, fragment=True)) is None
    assert state.accept(response(12, fragment=True)) is None
    assert resumed_at(WatchState(b"", b"", state.seen)) == 11
    assert state.accept(response(12, 13)) == WatchNews(changes(11, 12, 12, 12, 13), 13)


def test_law_3_fragments_of_a_connection_that_broke_come_again_and_not_twice(state: WatchState) -> None:
    assert state.accept(response(11, fragment=True)) is None
    assert resumed_at(state) == 11
    assert state.accept(response(11, fragment=True)) is None
    assert state.accept(response(12)) == WatchNews(changes(11, 12), 12)


def test_an_event_that_was_seen_already_is_left_out(state: WatchState) -> None:
    state.accept(response(11, 12))
    assert state.accept(response(12, 13)) == WatchNews(changes(13), 13)
    assert state.accept(response(13, header=90)) == WatchNews((), 13)
    assert resumed_at(state) == 14


@pytest.mark.parametrize(
    ("ended", "error", "says"),
    [
        (pb.WatchResponse(canceled=True, compact_revision=42), WatchCompacted, "42"),
        (
            pb.WatchResponse(canceled=True, created=True, cancel_reason="etcdserver: permission denied"),
            StoreDenied,
            "permission",
        ),
        (pb.WatchResponse(canceled=True, cancel_reason="etcdserver: invalid auth token"), StoreDenied, "token"),
        (pb.WatchResponse(canceled=True, cancel_reason="etcdserver: no leader"), StoreUnavailable, "no leader"),
        (pb.WatchResponse(canceled=True), StoreUnavailable, "no reason"),
    ],
)
def test_why_etcd_ends_a_watch(state: WatchState, ended: pb.WatchResponse, error: type[StoreError], says: str) -> None:
    with pytest.raises(error, match=says) as told:
        state.accept(ended)
    assert type(told.value) is error
    assert state.seen == 10
