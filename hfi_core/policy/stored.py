"""How a policy lies in the store: the document, and when it was applied.

``applied_at_ms`` is what makes each rule's end absolute (design, decision 5). It lies in the value itself, so
neither a restart nor a second replica can move it, whatever becomes of the store's own lease.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from hfi_core.errors import DocumentUnreadable, PolicyInvalid, Problem
from hfi_core.policy.base import Document
from hfi_core.policy.documents import parse_json
from hfi_core.policy.model import Policy, Rule, Selector
from hfi_core.policy.validation import shape_problems
from hfi_core.store.protocol import Entry


@dataclass(frozen=True)
class StoredPolicy:
    """A policy as the store has it. ``version`` is the revision of its last write; times are Unix ms."""

    policy: Policy
    version: int
    applied_at_ms: int

    @cached_property
    def name(self) -> str:
        """The policy's name, which is its key too."""
        return self.policy.name

    @cached_property
    def order(self) -> tuple[int, str]:
        """Where it stands in the total order of policies: smaller first."""
        return (-self.policy.spec.priority, self.name)

    @cached_property
    def selector(self) -> Selector | None:
        """Which proxies it is for; None when it is for all, so that nobody needs to ask ten thousand times."""
        selector = self.policy.spec.selector
        return None if selector == Selector() else selector

    @property
    def rule_ends_ms(self) -> tuple[int | None, ...]:
        """When each rule ends, in the rules' order; None for one without an end."""
        return rule_ends_ms(self.policy, self.applied_at_ms)

    @property
    def expires_at_ms(self) -> int | None:
        """When the last rule ends and the policy leaves the store; None when some rule has no end."""
        return policy_end_ms(self.policy, self.applied_at_ms)

    @cached_property
    def wire_rules(self) -> tuple[bytes, ...]:
        """Each rule as a snapshot carries it: JSON, in the rules' order; none of a disabled policy.

        Serialised once in the life of a stored policy, however many snapshots and views it is part of: of ten
        thousand policies one changes at a time.
        """
        if not self.policy.spec.enabled:
            return ()
        return tuple(
            self._wire_rule(rule, end) for rule, end in zip(self.policy.spec.rules, self.rule_ends_ms, strict=True)
        )

    def _wire_rule(self, rule: Rule, end: int | None) -> bytes:
        spec = self.policy.spec
        wire: dict[str, Any] = {
            "policy": self.name,
            "name": rule.name,
            "mode": spec.mode,
            "includeProbes": spec.include_probes,
        }
        if not spec.mark:
            wire["mark"] = False
        if spec.seed is not None:
            wire["seed"] = spec.seed
        if spec.exclude:
            wire["exclude"] = [_document(excluded) for excluded in spec.exclude]
        if spec.limits is not None:
            wire["limits"] = _document(spec.limits)
        # Only where counts begin anew with it: other rules stay byte-equal when their policy is applied again.
        if rule.fault.counts or spec.seed is not None or spec.limits is not None:
            wire["applied_at_ms"] = self.applied_at_ms
        if end is not None:
            wire["ends_at_ms"] = end
        body = _document(rule)
        wire["match"] = body.get("match", {})
        wire["fault"] = body["fault"]
        return json.dumps(wire, separators=(",", ":"), ensure_ascii=False).encode()

    def document(self) -> dict[str, Any]:
        """The document as the API answers it: with its version, and a ``status`` that is ignored on input."""
        document = self.policy.with_version(self.version).document()
        status: dict[str, Any] = {"appliedAtMs": self.applied_at_ms}
        if self.expires_at_ms is not None:
            status["expiresAtMs"] = self.expires_at_ms
        return {**document, "status": status}


def _document(part: Document) -> dict[str, Any]:
    """A part of a policy, as it was written."""
    return part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def rule_ends_ms(policy: Policy, applied_at_ms: int) -> tuple[int | None, ...]:
    """Each rule's absolute end when the policy is applied at that time."""
    return tuple(
        applied_at_ms + rule.fault.duration_seconds * 1000 if rule.fault.duration_seconds else None
        for rule in policy.spec.rules
    )


def policy_end_ms(policy: Policy, applied_at_ms: int) -> int | None:
    """When the last rule ends; None when some rule has no end."""
    ends = rule_ends_ms(policy, applied_at_ms)
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def encode(policy: Policy, applied_at_ms: int) -> bytes:
    """The value to store. The version is not in it: it is the revision that the store gives this write."""
    value = {"appliedAtMs": applied_at_ms, "policy": policy.with_version(None).document()}
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def decode(entry: Entry) -> StoredPolicy:
    """What lies under a key. Raises :class:`PolicyInvalid` when somebody wrote past the API what it would refuse."""
    try:
        value = parse_json(entry.value.decode())
        applied_at_ms = value["appliedAtMs"]
        if type(applied_at_ms) is not int:
            raise PolicyInvalid([Problem("/appliedAtMs", "must be Unix time in milliseconds")])
        policy = Policy.model_validate(value["policy"])
    except ValidationError as error:
        raise PolicyInvalid(shape_problems(error)) from error
    except (DocumentUnreadable, ValueError, KeyError, TypeError) as error:
        raise PolicyInvalid([Problem("", f"not a stored policy: {error!r}")]) from error
    if policy.name != entry.key:
        raise PolicyInvalid([Problem("/metadata/name", f"does not agree with its key, {entry.key!r}")])
    return StoredPolicy(policy, entry.version, applied_at_ms)
