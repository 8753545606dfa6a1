"""Policies, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hfi_cli import metrics_view, rule_words, words
from hfi_cli.console import out, row, show_table, table

if TYPE_CHECKING:
    from hfi_cli.answers import PolicyDocument, RuleMetrics


def listed(policies: Iterable[PolicyDocument]) -> None:
    """Print a line for each."""
    made = table("NAME", "VERSION", "PRIORITY", "STATE", "RULES", "PROXIES", "LABELS", "ENDS")
    for policy in policies:
        metadata, spec = policy["metadata"], policy["spec"]
        ends = policy["status"].get("expiresAtMs")
        row(
            made,
            metadata["name"],
            metadata["version"],
            spec.get("priority", 0),
            state(spec),
            len(spec["rules"]),
            words.proxies(spec.get("selector", {})),
            words.labels(metadata.get("labels", {})),
            "never" if ends is None else words.moment(ends),
        )
    show_table(made, "There are no policies.")


def described(policy: PolicyDocument, counted: Mapping[str, RuleMetrics]) -> None:
    """Print all of one, with what its rules have counted, by their names."""
    metadata, spec, status = policy["metadata"], policy["spec"], policy["status"]
    facts = table("", "")
    facts.show_header = False
    row(facts, "Name", metadata["name"])
    row(facts, "Version", metadata["version"])
    row(facts, "State", state(spec))
    row(facts, "Priority", spec.get("priority", 0))
    row(facts, "Proxies", words.proxies(spec.get("selector", {})))
    row(facts, "Health checks", "touched too" if spec.get("includeProbes") else "left alone")
    row(facts, "Labels", words.labels(metadata.get("labels", {})))
    for key, value in metadata.get("annotations", {}).items():
        row(facts, f"Note {key}", value)
    row(facts, "Applied", words.moment(status["appliedAtMs"]))
    row(facts, "Ends", "never" if "expiresAtMs" not in status else words.moment(status["expiresAtMs"]))
    out().print(facts)
    made = table("RULE", "REQUESTS", "FAULT", "LASTS", "MATCHED", "INJECTED", "SHADOWED", "SKIPPED")
    for rule in spec["rules"]:
        lasts = rule["fault"].get("duration_seconds")
        metrics = counted.get(rule["name"])
        row(
            made,
            rule["name"],
            rule_words.match(rule.get("match", {})),
            rule_words.fault(rule["fault"]),
            words.span(lasts * 1000) if lasts else "no end",
            metrics["matched"] if metrics else 0,
            sum(metrics["injected"].values()) if metrics else 0,
            sum(metrics["shadowed"].values()) if metrics else 0,
            metrics_view.counts(metrics["skipped"]) if metrics else None,
        )
    out().print()
    out().print(made)


def state(spec: Mapping[str, Any]) -> str:
    """``enforced``, ``shadow`` or ``disabled``."""
    if not spec.get("enabled", True):
        return "disabled"
    return "shadow" if spec.get("mode") == "shadow" else "enforced"
