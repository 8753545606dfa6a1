"""The policy document, as frozen values.

A document that has become a :class:`Policy` has the right shape. :func:`hfi_core.policy.validation.validate`
is the way in: it reports every problem at once, and asks the engine too.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from hfi_core.policy.base import ApiDocument, Document, check, check_members, given
from hfi_core.policy.faults import Fault
from hfi_core.policy.matchers import Match, RequestMatch

#: Kubernetes' names, so that a policy can become a custom resource without a change of name.
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RULE_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

API_VERSIONS = ("v1", "hfi.dev/v1")
KIND = "FaultInjectionPolicy"
MAX_RULES = 256
MAX_LABELS = 64
MAX_EXCLUDED = 32
#: What every reader of JSON keeps exactly (RFC 8259, section 6).
MAX_SEED = 2**53 - 1
MAX_LIMIT = 1_000_000


def _policy_name(value: str) -> str:
    check(
        len(value) <= 253 and _DNS_SUBDOMAIN.fullmatch(value) is not None,
        "must be a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', at most 253 characters",
    )
    return value


def _rule_name(value: str) -> str:
    check(
        len(value) <= 63 and _RULE_NAME.fullmatch(value) is not None,
        "must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, at most 63",
    )
    return value


def _label_key(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    check(
        _LABEL_NAME.fullmatch(name) is not None
        and (not slash or (len(prefix) <= 253 and _DNS_SUBDOMAIN.fullmatch(prefix) is not None)),
        "is not a label key; a key looks like track or example.com/track",
    )
    return value


def _label_value(value: str) -> str:
    check(
        _LABEL_VALUE.fullmatch(value) is not None,
        "must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, at most 63",
    )
    return value


def _version(value: str) -> str:
    check(re.fullmatch(r"[0-9]{1,19}", value) is not None, "must be a version as the server wrote it: digits")
    return value


PolicyName = Annotated[StrictStr, AfterValidator(_policy_name)]
Labels = Annotated[
    dict[Annotated[StrictStr, AfterValidator(_label_key)], Annotated[StrictStr, AfterValidator(_label_value)]],
    Field(max_length=MAX_LABELS),
]


class Metadata(Document):
    """Who a policy is. ``version`` is written by the server; sent back it is an optimistic lock."""

    name: PolicyName
    version: Annotated[StrictStr, AfterValidator(_version)] | None = None
    labels: Labels = Field(default_factory=dict)
    annotations: Annotated[dict[StrictStr, StrictStr], Field(max_length=MAX_LABELS)] = Field(default_factory=dict)


class Selector(Document):
    """Which proxies: all of it must hold; empty means all."""

    cluster: Annotated[StrictStr, Field(min_length=1, max_length=253)] | None = None
    labels: Labels = Field(default_factory=dict)

    def covers(self, cluster: str, labels: dict[str, str]) -> bool:
        """Whether a proxy of that cluster and those labels is meant."""
        return (self.cluster is None or self.cluster == cluster) and all(
            labels.get(key) == value for key, value in self.labels.items()
        )


class Rule(Document):
    """If a request matches, and the roll says so, do the fault."""

    name: Annotated[StrictStr, AfterValidator(_rule_name)]
    match: Match = Field(default_factory=Match)
    fault: Fault

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        if self.match.response is not None:
            check_members((("fault", *place), detail) for place, detail in self.fault.too_late())
        return self


def _rules(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    # Counted here and not by Field(min_length): pydantic would count only the rules that are valid.
    check(0 < len(rules) <= MAX_RULES, f"needs 1 to {MAX_RULES} rules, has {len(rules)}")
    seen: set[str] = set()
    for rule in rules:
        check(rule.name not in seen, f"two rules are named {rule.name!r}; names are unique within a policy")
        seen.add(rule.name)
    return rules


class Limits(Document):
    """What the faults of a policy may do to one proxy. Beyond it, requests pass."""

    max_active: Annotated[Annotated[StrictInt, Field(ge=1, le=MAX_LIMIT)] | None, Field(alias="maxActive")] = None
    max_per_second: Annotated[Annotated[StrictInt, Field(ge=1, le=MAX_LIMIT)] | None, Field(alias="maxPerSecond")] = (
        None
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        check(bool(given(self, ("max_active", "max_per_second"))), "needs maxActive, maxPerSecond, or both")
        return self


class Spec(Document):
    """What a policy wants."""

    priority: Annotated[StrictInt, Field(ge=-(2**31), le=2**31 - 1)] = 0
    enabled: StrictBool = True
    mode: Literal["enforce", "shadow"] = "enforce"
    include_probes: Annotated[StrictBool, Field(alias="includeProbes")] = False
    mark: StrictBool = True
    seed: Annotated[StrictInt, Field(ge=0, le=MAX_SEED)] | None = None
    selector: Selector = Field(default_factory=Selector)
    exclude: Annotated[tuple[RequestMatch, ...], Field(max_length=MAX_EXCLUDED)] = ()
    limits: Limits | None = None
    rules: Annotated[tuple[Rule, ...], AfterValidator(_rules)]


class Policy(ApiDocument):
    """A ``kind: FaultInjectionPolicy`` document."""

    api_version: Annotated[Literal["v1", "hfi.dev/v1"], Field(alias="apiVersion")]
    kind: Literal["FaultInjectionPolicy"]
    metadata: Metadata
    spec: Spec

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.metadata.name

    def document(self) -> dict[str, Any]:
        """The document as JSON values, in the field order of the schema, without defaults that were not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)

    def with_version(self, version: int | None) -> Self:
        """The same policy, carrying ``version`` (None takes it away)."""
        text = None if version is None else str(version)
        return self.model_copy(update={"metadata": self.metadata.model_copy(update={"version": text})})
