"""Rules, in the words of a person: one line for a match, one for a fault. Pure.

Reads the wire form of rules, of any server: what is not known is shown as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hfi_cli.words import percentage

_Words = Callable[[Any], str]


def match(of: Mapping[str, Any]) -> str:
    """``POST prefix /checkout, x-user-group exact beta``; ``every request`` for an empty match."""
    parts = []
    method = of.get("method", {}).get("exact")
    first = " ".join(part for part in (method, _pairs(of.get("path", {}))) if part)
    if first:
        parts.append(first)
    parts += [_named(header) for header in of.get("headers", ())]
    for key, value in of.items():
        if key not in ("method", "path", "headers"):
            parts.append(_MATCHERS.get(key, lambda value, key=key: f"{key} {_compact(value)}")(value))
    return ", ".join(parts) or "every request"


def fault(of: Mapping[str, Any]) -> str:
    """``25%: delay 250ms, then abort 503``."""
    parts = [words(of[key]) for key, words in _PARTS.items() if key in of]
    known = ("percentage", "duration_seconds", "start_delay_ms", "times", "sticky", *_PARTS)
    parts += [f"{key} {_compact(value)}" for key, value in of.items() if key not in known]
    if of.get("start_delay_ms"):
        parts.insert(0, f"wait {of['start_delay_ms']}ms")
    often = percentage(of.get("percentage", 100))
    if "sticky" in of:
        often += f" by {of['sticky'].get('header')}"
    if "times" in of:
        often += f", {of['times']} times"
    return f"{often}: {', then '.join(parts)}"


def _named(of: Mapping[str, Any]) -> str:
    negation = "not " if of.get("invert") else ""
    if "present" in of:
        return f"{negation}{of.get('name')} {'present' if of['present'] else 'absent'}"
    how = {kind: value for kind, value in of.items() if kind not in ("name", "invert")}
    return f"{negation}{of.get('name')} {_pairs(how)}"


def _query(of: Any) -> str:
    return ", ".join(f"?{_named(one)}" for one in of)


def _grpc(of: Any) -> str:
    return f"gRPC {of.get('service', '*')}/{of.get('method', '*')}" if of else "any gRPC call"


def _range(of: Mapping[str, Any]) -> str:
    if "exact" in of:
        return str(of["exact"])
    return f"{of.get('min', '')}..{of.get('max', '')}"


def _delay(of: Any) -> str:
    own = {key: value for key, value in of.items() if key not in ("percentage", "phase")}
    if "fixedDelay" in own:
        text = f"delay {own['fixedDelay']}"
    else:
        text = "delay " + ", ".join(f"{kind} {_pairs(value)}" for kind, value in own.items())
    return text + (" of the response" if of.get("phase") == "response" else "") + _share(of)


def _abort(of: Any) -> str:
    if of.get("reset"):
        return f"reset{_share(of)}"
    status = f"gRPC {of['grpcStatus']}" if "grpcStatus" in of else of.get("httpStatus")
    return f"abort {status}{_share(of)}"


def _request(of: Any) -> str:
    return f"request {_headers(of.get('headers', {}))}{_share(of)}"


def _response(of: Any) -> str:
    parts = []
    if "status" in of:
        parts.append(f"status {of['status']}")
    if "headers" in of:
        parts.append(_headers(of["headers"]))
    if "body" in of:
        parts.append(f"body of {len(of['body'].encode())} bytes")
    if "truncate" in of:
        parts.append(f"cut after {of['truncate'].get('bytes')} bytes")
    if "bandwidth" in of:
        parts.append(f"{of['bandwidth'].get('kbps')} kbps")
    return f"response {', '.join(parts)}{_share(of)}"


def _headers(of: Mapping[str, Any]) -> str:
    return ", ".join(f"{how} {' '.join(names)}" for how, names in of.items())


def _pairs(of: Mapping[str, Any]) -> str:
    return " ".join(f"{key} {value}" for key, value in of.items())


def _share(part: Mapping[str, Any]) -> str:
    return f" (in {percentage(part['percentage'])} of these)" if "percentage" in part else ""


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


#: Beside method, path and headers, in the words of each.
_MATCHERS: Mapping[str, _Words] = {
    "authority": lambda of: f"authority {_pairs(of)}",
    "query": _query,
    "grpc": _grpc,
    "attempt": lambda of: f"attempt {_range(of)}",
    "response": lambda of: f"answered {_range(of.get('status', {}))}",
    "anyOf": lambda of: "(" + " or ".join(match(one) for one in of) + ")",
    "not": lambda of: f"not ({match(of)})",
}
#: The parts of a fault, in the order in which they happen.
_PARTS: Mapping[str, _Words] = {
    "delay": _delay,
    "request": _request,
    "abort": _abort,
    "sequence": lambda of: f"abort in turn {' '.join(str(step) for step in of)}",
    "response": _response,
}
