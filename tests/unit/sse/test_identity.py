from __future__ import annotations

import pytest
from starlette.requests import Request

from hfi_core.snapshot import NodeIdentity
from hfi_sse.errors import ParameterInvalid
from hfi_sse.identity import Asker, asker
from hfi_sse.views import Audience, Position


def ask(query: str = "", **headers: str) -> Asker:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return asker(Request({"type": "http", "query_string": query.encode(), "headers": raw}))


def test_who_says_nothing_watches_everything() -> None:
    assert ask() == Asker(None, Audience(everything=True), Position())


def test_the_filters_headers() -> None:
    found = ask(
        x_hfi_node="n1", x_hfi_cluster="shop", x_hfi_labels="track=canary, az=b", x_hfi_epoch="e", last_event_id="42"
    )
    node = NodeIdentity("n1", "shop", (("az", "b"), ("track", "canary")))
    assert found == Asker(node, Audience("shop", node.labels), Position(42, "e"))


def test_a_browser_says_the_same_in_its_address() -> None:
    assert ask("node=n1&cluster=shop&labels=a=b&epoch=e", last_event_id="42") == ask(
        x_hfi_node="n1", x_hfi_cluster="shop", x_hfi_labels="a=b", x_hfi_epoch="e", last_event_id="42"
    )


def test_a_header_wins_over_the_address() -> None:
    assert ask("cluster=a", x_hfi_cluster="b").audience == Audience("b")


@pytest.mark.parametrize("headers", [{"x_hfi_cluster": "shop"}, {"x_hfi_labels": "a=b"}, {"x_hfi_cluster": ""}])
def test_without_a_node_one_sees_a_proxys_view_and_is_none(headers: dict[str, str]) -> None:
    found = ask(**headers)
    assert found.node is None
    assert not found.audience.everything


@pytest.mark.parametrize("text", ["", "abc", "-1", "1.5", "9" * 20, "1 2"])
def test_an_id_that_is_none_of_ours_is_no_position(text: str) -> None:
    assert ask(last_event_id=text).position == Position()


@pytest.mark.parametrize("text", ["a", "=b", "a=b,a=c", "a=" + "x" * 600, ",".join(f"k{i}=v" for i in range(65))])
def test_malformed_labels(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="x-hfi-labels: must be"):
        ask(x_hfi_labels=text)


def test_ids_are_bounded() -> None:
    with pytest.raises(ParameterInvalid, match="at most 512"):
        ask(x_hfi_node="n" * 513)
