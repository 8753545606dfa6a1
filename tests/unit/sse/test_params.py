from __future__ import annotations

import pytest
from starlette.datastructures import QueryParams
from starlette.requests import Request

from hfi_sse import params
from hfi_sse.errors import ParameterInvalid


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_only_known_parameters_are_taken() -> None:
    assert params.only(request("a=1"), ("a", "b"))["a"] == "1"
    with pytest.raises(ParameterInvalid, match=r"dryrun: is not a parameter.*known: dryRun"):
        params.only(request("dryrun=true"), ("dryRun",))
    with pytest.raises(ParameterInvalid, match="known: none"):
        params.only(request("x"), ())


@pytest.mark.parametrize(("query", "value"), [("", False), ("f=false", False), ("f=true", True), ("f=", True)])
def test_a_flag(query: str, value: bool) -> None:
    assert params.flag(QueryParams(query), "f") is value


@pytest.mark.parametrize("text", ["yes", "1", "True"])
def test_a_flag_is_true_or_false(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="must be true or false"):
        params.flag(QueryParams({"f": text}), "f")


def test_a_number_in_its_range() -> None:
    assert params.number(QueryParams(), "n", 7, 1, 9) == 7
    assert params.number(QueryParams("n=9"), "n", 7, 1, 9) == 9
    for text in ("0", "10", "x", "-1", "1.0", "9999999999", "١"):
        with pytest.raises(ParameterInvalid, match="a whole number from 1 to 9"):
            params.number(QueryParams({"n": text}), "n", 7, 1, 9)


@pytest.mark.parametrize(("text", "seconds"), [("25s", 25), ("500ms", 0.5), ("0s", 0), ("1.5s", 1.5), ("300s", 300)])
def test_a_duration(text: str, seconds: float) -> None:
    assert params.seconds(QueryParams({"w": text}), "w", 1, 300) == seconds


@pytest.mark.parametrize("text", ["301s", "300001ms", "25", "s", "-1s", "1h", "", "1e3s"])
def test_a_duration_that_is_none_or_too_long(text: str) -> None:
    with pytest.raises(ParameterInvalid, match="such as 25s or 500ms, at most 300s"):
        params.seconds(QueryParams({"w": text}), "w", 1, 300)


def test_a_duration_left_out() -> None:
    assert params.seconds(QueryParams(), "w", 25, 300) == 25


def test_pairs() -> None:
    assert params.pairs(QueryParams("l=a=b&l=c=d%3De"), "l") == {"a": "b", "c": "d=e"}
    for query in ("l=a", "l==b", "l=a=b&l=a=c"):
        with pytest.raises(ParameterInvalid, match="key=value with each key once"):
            params.pairs(QueryParams(query), "l")
