"""Requests a second through one Envoy worker, and its processor time for each: HFI beside no filter, and an abort
beside Envoy's own. All variants run at the same time and are loaded in turn, round after round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import envoys
from envoys import Envoy, expect_status
from report import ratios, shown, spread, table
from targets import Row, at_least

from filter import floor, load, sets
from filter.load import Load, Measured
from filter.sets import ABORTED, RuleSet
from filter.setting import Setting

CALLS = 10
_QUIET, _ABORTED = Load(), Load(ABORTED)


@dataclass(frozen=True, slots=True)
class Variant:
    """One Envoy: what it is, how it is started, what it is loaded with."""

    about: str
    start: Callable[[Setting, str], Envoy]
    load: Load = _QUIET


def _peer(*filters: Callable[[Setting], dict[str, Any]]) -> Callable[[Setting, str], Envoy]:
    return lambda setting, name: setting.peer(name, [make(setting) for make in filters])


def _hfi(make: RuleSet | None = None, alone: bool = True) -> Callable[[Setting, str], Envoy]:
    def start(setting: Setting, name: str) -> Envoy:
        envoy = setting.hfi(name, make.policies(name) if make else (), alone)
        for proof in make.matching if make else ():
            expect_status(envoy, ABORTED, dict(proof.headers), proof.path)
        return envoy

    return start


def _many(make: RuleSet, about: str, alone: bool = True) -> Variant:
    return Variant(about, _hfi(make, alone), make.quiet)


def _fault(abort: int, header: str | None) -> Callable[[Setting], dict[str, Any]]:
    return lambda setting: envoys.fault_filter(header, abort=abort)


def variants(rules: int) -> dict[str, Variant]:
    """All there are, by name; ``rules`` is how many the largest sets have."""
    all_aborted, shipped = sets.everything(), f"the shipped chain ({envoys.chain()})"
    mixed, few = sets.mixed(rules), sets.mixed(10)
    return {
        "none": Variant("no filter", _peer()),
        "fault-idle": Variant("Envoy's fault filter, not matching", _peer(_fault(ABORTED, "x-never"))),
        "wasm": Variant("a Wasm filter that does nothing", _peer(lambda s: floor.empty(s.bench))),
        "wasm-callbacks": Variant("the same in every callback", _peer(lambda s: floor.every_callback(s.bench))),
        "wasm-needed": Variant("a Wasm filter that does what HFI must", _peer(lambda s: floor.needed(s.bench))),
        "wasm-found": Variant(f"{CALLS} host calls, found", _peer(lambda s: floor.asking(s.bench, CALLS, True))),
        "wasm-missing": Variant(f"{CALLS} host calls, missing", _peer(lambda s: floor.asking(s.bench, CALLS, False))),
        "hfi-0": Variant("HFI, 0 rules", _hfi()),
        "hfi-10": _many(few, "HFI, 10 rules, none matching"),
        "hfi-100": _many(sets.mixed(100), "HFI, 100 rules, none matching"),
        "hfi-many": _many(mixed, f"HFI, {rules:,} rules, none matching"),
        "hfi-late": _many(sets.late(rules), f"HFI, {rules:,} regexes with late literals"),
        "hfi-headers": _many(sets.headers_only(rules), f"HFI, {rules:,} rules with a header alone"),
        "shipped-0": Variant(f"{shipped}, 0 rules", _hfi(alone=False)),
        "shipped-many": _many(mixed, f"{shipped}, {rules:,} rules", alone=False),
        "fault-abort": Variant("Envoy's fault filter, abort", _peer(_fault(ABORTED, None)), _ABORTED),
        "wasm-abort": Variant("a Wasm filter that aborts", _peer(lambda s: floor.aborting(s.bench, ABORTED)), _ABORTED),
        "wasm-abort-needed": Variant(
            "a Wasm filter that aborts as HFI must",
            _peer(lambda s: floor.aborting_as_needed(s.bench, ABORTED)),
            _ABORTED,
        ),
        "hfi-abort": Variant("HFI, abort", _hfi(all_aborted), _ABORTED),
        "shipped-abort": Variant("the shipped chain, abort", _hfi(all_aborted, alone=False), _ABORTED),
    }


#: Row: the variant, the one beside it, and the least ratio that is asked for.
RATIOS: dict[str, tuple[str, str, float | None]] = {
    "idle-0": ("hfi-0", "none", 0.90),
    "idle-10": ("hfi-10", "none", None),
    "idle-100": ("hfi-100", "none", None),
    "idle-many": ("hfi-many", "none", 0.85),
    "many-few": ("hfi-many", "hfi-10", 0.95),
    "late": ("hfi-late", "none", None),
    "headers": ("hfi-headers", "none", None),
    "shipped-0": ("shipped-0", "none", None),
    "shipped-many": ("shipped-many", "none", None),
    "fault-idle": ("fault-idle", "none", None),
    "floor": ("wasm", "none", None),
    "callbacks": ("wasm-callbacks", "none", None),
    "needed": ("wasm-needed", "none", None),
    "own": ("hfi-many", "wasm-needed", None),
    "abort": ("hfi-abort", "fault-abort", 0.85),
    "abort-shipped": ("shipped-abort", "fault-abort", None),
    "abort-floor": ("wasm-abort", "fault-abort", None),
    "abort-needed": ("wasm-abort-needed", "fault-abort", None),
    "abort-own": ("hfi-abort", "wasm-abort-needed", None),
}
#: Row: what a host call costs, told by the variant that makes ten.
PRICES = {"call-found": "wasm-found", "call-missing": "wasm-missing"}
NAMES = (*RATIOS, *PRICES)


class Passing:
    """The variants that the wanted rows need."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        load.wrk()
        self._options = setting.options
        self._wanted = wanted
        names = {name for row in wanted & RATIOS.keys() for name in RATIOS[row][:2]}
        names |= {name for row in wanted & PRICES.keys() for name in ("wasm", PRICES[row])}
        self._variants = {name: one for name, one in variants(setting.options.rules).items() if name in names}
        self._envoys = {name: one.start(setting, name) for name, one in self._variants.items()}
        self._taken: dict[str, list[Measured]] = {name: [] for name in self._variants}
        for name, one in self._variants.items():
            expect_status(self._envoys[name], one.load.expected, dict(one.load.headers), one.load.path)
            load.run(self._envoys[name], one.load, 1, self._options.connections)

    def round(self, number: int) -> None:
        """Every other round backwards, so that a machine that grows busier favours nobody."""
        order = list(self._variants) if number % 2 == 0 else list(reversed(self._variants))
        for name in order:
            one, options = self._variants[name], self._options
            self._taken[name].append(load.run(self._envoys[name], one.load, options.seconds, options.connections))

    def _filters_still_there(self) -> None:
        """A filter that has failed lets requests pass, and fast: each must have counted what was sent to it."""
        for name, envoy in self._envoys.items():
            if name.startswith(("hfi", "shipped")):
                envoy.has_counted(sum(one.total for one in self._taken[name]))

    def rows(self) -> list[Row]:
        """Ratios of requests a second, and the price of a host call."""
        self._filters_still_there()
        made = []
        for row, (name, beside, least) in RATIOS.items():
            if row in self._wanted:
                rate, cpu = self._ratios(name, beside)
                target, met = at_least(least, rate) if least is not None else ("", None)
                about = f"{self._variants[name].about}, beside {self._variants[beside].about}"
                made.append(Row(row, about, rate, target=target, met=met, note=f"{shown(cpu)} by CPU"))
        for row, name in PRICES.items():
            if row in self._wanted:
                pairs = zip(self._taken[name], self._taken["wasm"], strict=True)
                price = spread([(more.cpu_us - less.cpu_us) / CALLS for more, less in pairs])
                made.append(Row(row, f"one host call, the header {row.removeprefix('call-')}", price, unit="µs"))
        return made

    def _ratios(self, name: str, beside: str) -> tuple[dict[str, float], dict[str, float]]:
        """Of rates, and of processor times: peer over mine, so that both read alike. Below 1 is dearer."""
        mine, other = self._taken[name], self._taken[beside]
        rate = ratios([one.rate for one in mine], [one.rate for one in other])
        return rate, ratios([one.cpu_us for one in other], [one.cpu_us for one in mine])

    def detail(self) -> tuple[dict[str, Any], str]:
        """Each variant by itself."""
        figures: dict[str, Any] = {}
        lines = []
        for name, mine in self._taken.items():
            rate, cpu = spread([one.rate for one in mine]), spread([one.cpu_us for one in mine])
            p50, p99 = spread([one.p50_ms for one in mine]), spread([one.p99_ms for one in mine])
            about = self._variants[name].about
            figures[name] = {
                "about": about,
                "requests_per_second": rate,
                "cpu_us_per_request": cpu,
                "p50_ms": p50,
                "p99_ms": p99,
                "rounds": [[one.rate, one.cpu_us, one.p50_ms, one.p99_ms] for one in mine],
            }
            lines.append([about, shown(rate, 0), shown(cpu, 1), f"{p50['median']:.2f} / {p99['median']:.2f}"])
        return figures, table(["variant", "requests/s", "CPU µs/request", "p50 / p99 ms"], lines)
