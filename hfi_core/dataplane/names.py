"""The metrics of the filter, by name. ``METRICS.md`` says what each means."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

#: Envoy puts this before the name of every metric that a Wasm filter defines.
PREFIX = "wasmcustom.hfi."
TOTALS = ("total_requests", "rules_matched", "faults_injected", "errors")
GAUGES = ("active_delays", "snapshot_age_seconds")
HISTOGRAMS = ("delay_ms", "takeover_us")
RULE_WHATS = ("matched", "injected", "shadowed", "skipped")


def _kinds() -> frozenset[str]:
    """Every way to join the parts of a fault, in their order; a request cannot be both answered and reset."""
    choices = (("", "request"), ("", "delay"), ("", "abort", "reset"), ("", "response"))
    joined = ("_".join(filter(None, parts)) for parts in itertools.product(*choices))
    return frozenset(filter(None, joined))


#: What a fault consists of: ``delay``, ``abort``, ``delay_abort``, …
KINDS = _kinds()
#: Why a rule that matched did not act.
REASONS = frozenset({"percentage", "expired", "limit", "times", "stale", "probe"})
_KINDS_OF = {"matched": frozenset({"any"}), "injected": KINDS, "shadowed": KINDS, "skipped": REASONS}
#: For a kind or reason that only a newer filter knows: what becomes a label is one of a fixed set.
OTHER_KIND = "other"


@dataclass(frozen=True, slots=True)
class RuleKey:
    """One series of a rule: ``what`` happened (:data:`RULE_WHATS`), and of which ``kind``.

    That is ``any`` for matched, the kind of fault for injected and shadowed (:data:`KINDS`), and the reason for skipped
    (:data:`REASONS`).
    """

    what: str
    policy: str
    rule: str
    kind: str


def rule_key(name: str) -> RuleKey | None:
    """The series of a metric name such as ``rule~matched~checkout~slow~any`` (prefix taken off), or None."""
    parts = name.split("~")
    if len(parts) != 5 or parts[0] != "rule" or parts[1] not in RULE_WHATS:
        return None
    _, what, policy, rule, kind = parts
    return RuleKey(what, policy, rule, kind if kind in _KINDS_OF[what] else OTHER_KIND)
