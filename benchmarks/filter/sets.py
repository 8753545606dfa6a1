"""Sets of rules: the one that the targets name, and hostile ones, of which an index of paths can make little.

Each comes with requests that must be aborted: without a proof that the rules are there, that none matches is no figure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from control import policy, rule, rules

from filter.load import Load

ABORTED = 503
_ABORT = {"abort": {"httpStatus": ABORTED}}
#: A policy may have 256.
_PAGE = 250


@dataclass(frozen=True, slots=True)
class RuleSet:
    """``quiet`` is a request that no rule matches, each of ``matching`` is one that some rule aborts."""

    rules: list[dict[str, Any]]
    quiet: Load
    matching: list[Load]

    def policies(self, cluster: str) -> list[dict[str, Any]]:
        """The rules as policies for the proxies of one cluster."""
        pages = range(0, len(self.rules), _PAGE)
        return [policy(f"{cluster}-{at}", self.rules[at : at + _PAGE], cluster) for at in pages]

    def requests(self) -> list[Load]:
        """A request for each rule, which aborts it. For a mixed set only."""
        return [_matching(one) for one in self.rules]


def mixed(count: int, prefix: str = "/none") -> RuleSet:
    """A third each exact, prefix and regex; half of each with a header."""
    made = rules(count, prefix)
    # The last of each kind, with a header and without: those that a walk in order would come to last.
    return RuleSet(made, Load(), [_matching(one) for one in made[-6:]])


def late(count: int) -> RuleSet:
    """Regexes whose literal part, which sets them apart, comes after a part that matches nearly anything."""
    paths = [{"regex": f"/[a-z]+/svc-{number}/[0-9]{{1,9}}"} for number in range(count)]
    made = [rule(f"r{number}", _ABORT, path=path) for number, path in enumerate(paths)]
    return RuleSet(made, Load(path=f"/orders/svc-{count}/7"), [_aborted(f"/orders/svc-{count - 1}/7")])


def headers_only(count: int) -> RuleSet:
    """No path at all, and a header that the request has, with another value."""
    names = [[{"name": "x-user-group", "exact": f"group-{number}"}] for number in range(count)]
    made = [rule(f"r{number}", _ABORT, headers=header) for number, header in enumerate(names)]
    quiet = Load(headers={"x-user-group": "nobody"})
    return RuleSet(made, quiet, [_aborted("/orders/7", {"x-user-group": f"group-{count - 1}"})])


def everything() -> RuleSet:
    """One rule, which aborts each request."""
    return RuleSet([rule("all", _ABORT)], Load(), [_aborted("/orders/7")])


def _matching(one: dict[str, Any]) -> Load:
    path: dict[str, str] = one["match"]["path"]
    asked = path.get("exact") or (
        path["prefix"] + "more" if "prefix" in path else path["regex"].split("[")[0] + "abc/7"
    )
    return _aborted(asked, {header["name"]: header["exact"] for header in one["match"].get("headers", [])})


def _aborted(path: str, headers: dict[str, str] | None = None) -> Load:
    return Load(ABORTED, path, headers or {})


def snapshot(made: list[dict[str, Any]]) -> bytes:
    """The ``rules`` of a snapshot as the control plane sends them: each rule with its policy's name and mode."""
    whole = [
        {"policy": f"many-{at // _PAGE}", "mode": "enforce", "includeProbes": False, **one}
        for at, one in enumerate(made)
    ]
    return json.dumps(whole, separators=(",", ":")).encode()
