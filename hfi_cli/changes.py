"""What has changed between two updates of the stream, rule by rule. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hfi_cli import rule_words, words

Rule = Mapping[str, Any]
Kind = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class Change:
    """One rule that is not as it was. ``details`` says what of it, in words."""

    kind: Kind
    name: str
    details: tuple[str, ...]


def between(before: Sequence[Rule], after: Sequence[Rule]) -> list[Change]:
    """The changes from one list of rules to another, in the order of the new one; removals first."""
    old, new = {_name(rule): rule for rule in before}, {_name(rule): rule for rule in after}
    found = [Change("removed", name, (_summary(rule),)) for name, rule in old.items() if name not in new]
    kept_before = [name for name in old if name in new]
    kept_after = [name for name in new if name in old]
    for name, rule in new.items():
        if name not in old:
            found.append(Change("added", name, (_summary(rule),)))
        elif details := _details(old[name], rule):
            found.append(Change("changed", name, details))
    if kept_before != kept_after:
        # Which rule decides depends on the order, so it is a change even when no rule is another.
        found.append(Change("moved", "the order of the rules", (" > ".join(kept_after),)))
    return found


def _name(rule: Rule) -> str:
    return f"{rule.get('policy')}/{rule.get('name')}"


def _summary(rule: Rule) -> str:
    notes = [rule_words.match(rule.get("match", {})), "→", rule_words.fault(rule.get("fault", {}))]
    if rule.get("mode") == "shadow":
        notes.append("(shadow)")
    if rule.get("includeProbes"):
        notes.append("(health checks too)")
    if "ends_at_ms" in rule:
        notes.append(f"until {words.moment(rule['ends_at_ms'])}")
    return " ".join(notes)


def _details(old: Rule, new: Rule) -> tuple[str, ...]:
    details = []
    for key in sorted({*old, *new}):
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        match key:
            case "match":
                details += _reworded(rule_words.match(was or {}), rule_words.match(now or {}))
            case "fault":
                details += _reworded(rule_words.fault(was or {}), rule_words.fault(now or {})) or _parts(
                    "fault", was, now
                )
            case "ends_at_ms":
                details.append(f"ends {_end(was)} → {_end(now)}")
            case _:
                details.append(f"{key} {was} → {now}")
    return tuple(details)


def _reworded(was: str, now: str) -> list[str]:
    return [f"{was} → {now}"] if was != now else []


def _parts(name: str, was: Any, now: Any) -> list[str]:
    """What differs where the words are the same: a body or a header of an abort."""
    if was == now or name == "fault.duration_seconds":  # The end, which it led to, is told by itself.
        return []
    if not isinstance(was, Mapping) or not isinstance(now, Mapping):
        return [f"{name} is another"]
    return [part for key in sorted({*was, *now}) for part in _parts(f"{name}.{key}", was.get(key), now.get(key))]


def _end(moment: int | None) -> str:
    return "never" if moment is None else words.moment(moment)
