"""Policy documents for tests, as short as a test's point allows."""

from __future__ import annotations

from typing import Any


def abort_rule(name: str = "r", status: int = 503, **fault: Any) -> dict[str, Any]:
    return {"name": name, "fault": {"abort": {"httpStatus": status}, **fault}}


def policy(
    name: str = "p", *rules: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name}
    if labels is not None:
        metadata["labels"] = labels
    return {
        "apiVersion": "v1",
        "kind": "FaultInjectionPolicy",
        "metadata": metadata,
        "spec": {**spec, "rules": list(rules) or [abort_rule()]},
    }
