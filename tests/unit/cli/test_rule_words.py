from __future__ import annotations

from typing import Any

import pytest

from hfi_cli import rule_words


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ({}, "every request"),
        ({"path": {"prefix": "/a"}, "method": {"exact": "POST"}}, "POST prefix /a"),
        ({"headers": [{"name": "x", "exact": "1"}]}, "x exact 1"),
        ({"headers": [{"name": "x", "present": False}, {"name": "y", "present": True}]}, "x absent, y present"),
        ({"headers": [{"name": "x", "regex": "a+", "invert": True}]}, "not x regex a+"),
        ({"path": {"exact": "/a"}, "weather": {"k": "v"}}, 'exact /a, weather {"k":"v"}'),
        (
            {"authority": {"suffix": ".test"}, "query": [{"name": "q", "exact": "1"}]},
            "authority suffix .test, ?q exact 1",
        ),
        (
            {"query": [{"name": "a", "present": False}, {"name": "b", "regex": "x", "invert": True}]},
            "?a absent, ?not b regex x",
        ),
        ({"grpc": {}}, "any gRPC call"),
        ({"grpc": {"service": "shop.Cart"}}, "gRPC shop.Cart/*"),
        ({"attempt": {"exact": 2}, "response": {"status": {"min": 500}}}, "attempt 2, answered 500.."),
        (
            {"anyOf": [{"path": {"exact": "/a"}}, {"attempt": {"max": 3}}], "not": {}},
            "(exact /a or attempt ..3), not (every request)",
        ),
    ],
)
def test_match(of: dict[str, Any], text: str) -> None:
    assert rule_words.match(of) == text


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ({"abort": {"httpStatus": 503}}, "100%: abort 503"),
        ({"percentage": 0.0001, "delay": {"fixedDelay": "1s"}}, "0.0001%: delay 1s"),
        (
            {
                "percentage": 25,
                "start_delay_ms": 5,
                "delay": {"fixedDelay": "1s", "percentage": 50},
                "abort": {"httpStatus": 503, "percentage": 12.5},
                "duration_seconds": 60,
            },
            "25%: wait 5ms, then delay 1s (in 50% of these), then abort 503 (in 12.5% of these)",
        ),
        ({"abort": {"httpStatus": 503}, "times": 3}, "100%, 3 times: abort 503"),
        ({"percentage": 5, "sticky": {"header": "x-user"}, "abort": {"grpcStatus": 14}}, "5% by x-user: abort gRPC 14"),
        ({"abort": {"reset": True, "percentage": 1}}, "100%: reset (in 1% of these)"),
        ({"sequence": [503, "pass"]}, "100%: abort in turn 503 pass"),
        (
            {"delay": {"uniform": {"min": "0ms", "max": "1s"}, "phase": "response"}},
            "100%: delay uniform min 0ms max 1s of the response",
        ),
        ({"delay": {"percentiles": {"p50": "1ms", "p99": "2s"}}}, "100%: delay percentiles p50 1ms p99 2s"),
        (
            {
                "response": {"status": 500, "body": "né", "bandwidth": {"kbps": 8}, "percentage": 50},
                "request": {"headers": {"set": {"a": "1", "b": "2"}, "remove": ["c"]}},
            },
            "100%: request set a b, remove c, then response status 500, body of 3 bytes, 8 kbps (in 50% of these)",
        ),
        (
            {"response": {"headers": {"add": {"a": "1"}}, "truncate": {"bytes": 9}}},
            "100%: response add a, cut after 9 bytes",
        ),
        ({"abort": {"httpStatus": 503}, "weather": 3}, "100%: abort 503, then weather 3"),
    ],
)
def test_fault(of: dict[str, Any], text: str) -> None:
    assert rule_words.fault(of) == text
