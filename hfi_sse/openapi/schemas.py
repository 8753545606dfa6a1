"""What goes in and out: policies and questions as their models say it, and the answers."""

from __future__ import annotations

from pydantic import BaseModel

from hfi_core.policy.model import Policy
from hfi_core.sidecars.document import SidecarDocument
from hfi_sse.explain import Question
from hfi_sse.openapi.parts import BOOLEAN, INTEGER, NUMBER, SCHEMAS, TEXT, VERSION, Json, obj, ref
from hfi_sse.openapi.sidecars import complete_schema
from hfi_sse.rollout import AdvanceRequest, RollBackRequest, StartRequest

#: What ``explain`` says of one rule.
OUTCOMES = ["no_match", "awaits_response", "misses", "may_decide", "decides", "shadow", "expired", "probe"]


def schemas() -> Json:
    """The ``schemas`` of the document, by name."""
    schemas: Json = {}
    for model in (Policy, Question, SidecarDocument):
        schemas.update(_model(model))
    for name, body in (("Start", StartRequest), ("Advance", AdvanceRequest), ("RollBack", RollBackRequest)):
        found = _model(body)
        schemas["Rollout" + name] = found.pop(body.__name__)
        schemas.update(found)
    schemas["RolloutPause"] = {"type": "object", "additionalProperties": False}
    # What the server adds to a stored policy, and ignores on input.
    schemas["Policy"]["properties"]["status"] = obj(
        {"appliedAtMs": INTEGER, "expiresAtMs": INTEGER}, description="Written by the server; ignored on input."
    )
    complete_schema(schemas["SidecarSpec"])
    # The model takes what its own normaliser makes of these three forms.
    schemas["Question"]["properties"]["headers"] = {
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": {"oneOf": [TEXT, {"type": "array", "items": TEXT}]},
            },
            {"type": "array", "items": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": 2}},
        ]
    }
    schemas["Question"]["properties"]["policy"] = {**ref("Policy"), "description": "Tried, and not stored."}
    schemas["Problem"] = obj(
        {
            "type": TEXT,
            "title": TEXT,
            "status": INTEGER,
            "detail": TEXT,
            "errors": {"type": "array", "items": obj({"pointer": TEXT, "detail": TEXT}, "pointer", "detail")},
            "line": INTEGER,
            "column": INTEGER,
            "expected": VERSION,
            "actual": VERSION,
            "reasons": {"type": "array", "items": TEXT},
        },
        "type",
        "title",
        "status",
        description="RFC 9457. `errors` point into the document that was sent (RFC 6901).",
    )
    schemas["Deleted"] = obj({"name": TEXT, "version": VERSION}, "name", "version")
    step = obj(
        {
            "policy": TEXT,
            "rule": TEXT,
            "mode": TEXT,
            "outcome": {"enum": OUTCOMES},
            "reason": TEXT,
            "percentage": NUMBER,
            "probability": NUMBER,
        },
        "policy",
        "rule",
        "outcome",
    )
    schemas["Explanation"] = obj(
        {
            "decision": {"oneOf": [obj({"policy": TEXT, "rule": TEXT}, "policy", "rule"), {"type": "null"}]},
            "steps": {"type": "array", "items": step},
            "none_probability": NUMBER,
            "version": VERSION,
            "rules": INTEGER,
        },
        "decision",
        "steps",
        "none_probability",
        "version",
        "rules",
    )
    maybe_int, maybe_text = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
    texts = {"type": "object", "additionalProperties": TEXT}
    counts = {"type": "object", "additionalProperties": INTEGER}
    resource = obj(
        {
            "typeUrl": TEXT,
            "name": TEXT,
            "digest": TEXT,
            "state": {"enum": ["sent", "acked", "nacked", "not_applied"]},
            "message": TEXT,
            "atMs": INTEGER,
        }
    )
    schemas["Proxy"] = obj(
        {
            "node": TEXT,
            "cluster": TEXT,
            "labels": texts,
            "connected": BOOLEAN,
            "firstSeenMs": INTEGER,
            "lastSeenMs": INTEGER,
            "userAgent": TEXT,
            "xds": obj({"streams": INTEGER, "replica": maybe_text, "resources": {"type": "array", "items": resource}}),
            "rules": obj(
                {
                    "version": maybe_text,
                    "epoch": maybe_text,
                    "upToDate": BOOLEAN,
                    "ageMs": maybe_int,
                    "polling": BOOLEAN,
                    "replica": maybe_text,
                }
            ),
        },
        "node",
        "connected",
        "xds",
        "rules",
    )
    schemas["FilterModule"] = obj(
        {
            "version": TEXT,
            "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "size": INTEGER,
            "abi": TEXT,
            "note": TEXT,
            "pushedAtMs": INTEGER,
            "role": {"enum": ["stable", "candidate", None]},
        },
        "version",
        "digest",
        "size",
        "abi",
        "note",
        "pushedAtMs",
        "role",
    )
    schemas.update(_rollouts())
    schemas["Health"] = obj(
        {
            "status": {"enum": ["alive", "ready"]},
            "ready": BOOLEAN,
            "troubles": {"type": "array", "items": TEXT},
            "version": TEXT,
            "snapshot": {"oneOf": [obj({"version": VERSION, "epoch": TEXT}), {"type": "null"}]},
            "feedAgeMs": maybe_int,
        },
        "status",
        "ready",
        "troubles",
    )
    rule = obj(
        {
            "policy": TEXT,
            "rule": TEXT,
            "matched": INTEGER,
            "injected": counts,
            "shadowed": counts,
            "skipped": counts,
        }
    )
    bucket = obj({"le": NUMBER, "count": INTEGER}, "le", "count")
    histogram = obj(
        {"count": INTEGER, "sum": NUMBER, "buckets": {"type": "array", "items": bucket}}, "count", "sum", "buckets"
    )
    schemas["Metrics"] = obj(
        {
            "total_requests": INTEGER,
            "rules_matched": INTEGER,
            "faults_injected": INTEGER,
            "errors": INTEGER,
            "active_delays": INTEGER,
            "snapshot_age_seconds": {"type": ["number", "null"]},
            "delay_ms": histogram,
            "takeover_us": histogram,
            "rules": {"type": "array", "items": rule},
            "control_plane": {"type": "object"},
        },
        "total_requests",
        "rules_matched",
        "faults_injected",
        "errors",
        "active_delays",
        "snapshot_age_seconds",
        "delay_ms",
        "takeover_us",
        "rules",
        "control_plane",
    )
    return schemas


def _rollouts() -> Json:
    assignment = obj({"version": TEXT, "digest": TEXT, "generation": INTEGER}, "version", "digest", "generation")
    cause = {"enum": ["operator", "rejected", "errors", "silent", None]}
    counts = obj({"applied": INTEGER, "waiting": INTEGER, "rejected": INTEGER}, "applied", "waiting", "rejected")
    event = obj({"atMs": INTEGER, "kind": TEXT, "detail": TEXT, "cause": cause}, "atMs", "kind", "detail")
    rollout = obj(
        {
            "id": TEXT,
            "candidate": assignment,
            "share": NUMBER,
            "selector": {"oneOf": [ref("Selector"), {"type": "null"}]},
            "state": {"enum": ["running", "paused", "completed", "rolled_back"]},
            "cause": cause,
            "reason": TEXT,
            "watchSeconds": INTEGER,
            "maxErrors": INTEGER,
            "startedAtMs": INTEGER,
            "changedAtMs": INTEGER,
        },
        *("id", "candidate", "share", "selector", "state", "cause", "reason"),
        *("watchSeconds", "maxErrors", "startedAtMs", "changedAtMs"),
    )
    return {
        "Rollout": obj(
            {
                "stable": assignment,
                "rollout": {"oneOf": [rollout, {"type": "null"}]},
                "nodes": obj({"candidate": counts, "stable": counts}, "candidate", "stable"),
                "events": {"type": "array", "items": event},
            },
            *("stable", "rollout", "nodes", "events"),
        )
    }


def _model(model: type[BaseModel]) -> Json:
    """A pydantic model and all that it is made of, by name."""
    schema = model.model_json_schema(by_alias=True, ref_template=SCHEMAS + "{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}
