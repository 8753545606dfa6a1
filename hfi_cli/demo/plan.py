"""What the demo asks for: the policy, and the requests that show what it does. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NODE_ID = "demo-1"
CLUSTER = "demo"
POLICY_NAME = "demo"


@dataclass(frozen=True, slots=True)
class Scene:
    """One kind of request, ``count`` of them with at most ``at_once`` in flight, and the fault asked for them.

    ``share`` is from 0 to 1; ``rule`` is None where no rule matches.
    """

    method: str
    path: str
    count: int
    at_once: int
    rule: str | None = None
    share: float = 0.0
    delay_ms: int = 0
    status: int = 0

    @property
    def request(self) -> str:
        """How the request is called in the tables."""
        return f"{self.method} {self.path}"

    @property
    def asked(self) -> str:
        """The fault in words."""
        if self.rule is None:
            return "nothing"
        what = f"delay {self.delay_ms} ms" if self.delay_ms else f"abort with {self.status}"
        return f"{what} in {self.share:.0%}"


#: Enough requests that a wrong rate is told from chance, and few enough that nobody waits for long.
SCENES = (
    Scene("GET", "/catalog", count=300, at_once=4),
    Scene("POST", "/checkout", count=400, at_once=20, rule="slow-checkout", share=0.5, delay_ms=250),
    Scene("GET", "/payments", count=1000, at_once=8, rule="payments-down", share=0.25, status=503),
)


def policy() -> dict[str, Any]:
    """The policy that asks for the scenes' faults."""
    return {
        "apiVersion": "v1",
        "kind": "FaultInjectionPolicy",
        "metadata": {"name": POLICY_NAME, "labels": {"app": "shop"}},
        "spec": {"selector": {"cluster": CLUSTER}, "rules": [_rule(scene) for scene in SCENES if scene.rule]},
    }


def _rule(scene: Scene) -> dict[str, Any]:
    fault: dict[str, Any] = {"percentage": scene.share * 100}
    if scene.delay_ms:
        fault["delay"] = {"fixedDelay": f"{scene.delay_ms}ms"}
    if scene.status:
        fault["abort"] = {"httpStatus": scene.status, "body": "payments are down, says the demo"}
    match = {"path": {"exact": scene.path}, "method": {"exact": scene.method}}
    return {"name": scene.rule, "match": match, "fault": fault}
