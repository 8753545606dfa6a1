"""What the demo prints."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from hfi_cli.client import DEFAULT_SERVER
from hfi_cli.console import out, row, table
from hfi_cli.demo.plan import NODE_ID, POLICY_NAME, Scene
from hfi_cli.demo.verdict import Measured, tolerance
from hfi_core.address import Address


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scene before and after the policy, and what is wrong with it."""

    scene: Scene
    before: Measured
    after: Measured
    wrong: Sequence[str]


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is."""

    server: str
    xds: Address
    service: Address
    envoy: Address
    admin: Address
    log: str


def step(text: str) -> None:
    """What is being done now."""
    out().print(Text.assemble(("▸ ", "bold cyan"), text))


def document(policy: Mapping[str, Any]) -> None:
    """A policy, as one would write it into a file."""
    from hfi_sse.media import dump_yaml

    out().print(Text(textwrap.indent(dump_yaml(policy), "    "), "dim"))


def results(outcomes: Sequence[Outcome]) -> None:
    """What was asked for beside what was measured, and what is wrong."""
    console = out()
    asked = table("REQUEST", "ASKED FOR", "MEASURED", "BY CHANCE", "FILTER COUNTED", "SERVICE SAW", "")
    times = table("REQUEST", "", "ANSWERS", "P50", "P90", "P99", "SLOWEST")
    for outcome in outcomes:
        scene, after = outcome.scene, outcome.after
        verdict = Text("wrong", "bold red") if outcome.wrong else Text("as asked", "green")
        row(
            asked,
            scene.request,
            scene.asked,
            _measured(scene, after),
            f"±{tolerance(scene.count, scene.share) / scene.count:.1%}" if scene.rule else None,
            f"{after.injected} of {scene.count}" if scene.rule else None,
            f"{after.reached} of {scene.count}",
            verdict,
        )
        for name, measured in (("before", outcome.before), ("after", after)):
            shown = [f"{measured.percentile(share):.1f} ms" for share in (0.5, 0.9, 0.99, 1.0)]
            row(times, scene.request if name == "before" else "", name, measured.statuses, *shown)
    console.print()
    console.print(asked)
    console.print()
    console.print(times)
    console.print()
    for outcome in outcomes:
        for wrong in outcome.wrong:
            console.print(Text(f"{outcome.scene.request}: {wrong}", "red"))


def _measured(scene: Scene, after: Measured) -> str:
    answers = after.answers
    if scene.delay_ms:
        # Without a bound below it: an answer that came a moment early would be told by the verdict.
        late = sum(answer.ms >= scene.delay_ms - 1 for answer in answers)
        return f"{late / len(answers):.1%} took {scene.delay_ms} ms or more"
    aborted = sum(answer.fault for answer in answers)
    if scene.rule is None:
        return f"{aborted} aborted" if aborted else "nothing"
    return f"{aborted / len(answers):.1%} aborted"


def places(at: Places) -> None:
    """The addresses, and what to try next."""
    console = out()
    made = table("", "")
    made.show_header = False
    row(made, "your traffic goes to Envoy", f"http://{at.envoy}")
    row(made, "Envoy's own interface", f"http://{at.admin}")
    row(made, "the sample service", f"http://{at.service}")
    row(made, "the control plane, HTTP", at.server)
    row(made, "the control plane, xDS", str(at.xds))
    row(made, "Envoy's log", at.log)
    console.print(made)
    cli = _program() + ("" if at.server == DEFAULT_SERVER else f" --server {at.server}")
    console.print(Text("\nTry next, in another terminal:", "bold"))
    commands = (
        (f"curl -i http://{at.envoy}/payments", "some of these are aborted"),
        (f"curl -i -X POST http://{at.envoy}/checkout", "some of these are late"),
        (f"{cli} policy describe {POLICY_NAME}", "what the policy does, and how often it did"),
        (f"{cli} explain --path /payments", "which rule decides, and why"),
        (f"{cli} proxy list", f"{NODE_ID}, and what it runs"),
        (f"{cli} metrics", "what the filter has counted"),
        (f"{cli} watch", "the rules, live; then, elsewhere:"),
        (f"{cli} policy delete {POLICY_NAME} --wait", "all faults stop"),
    )
    width = max(len(command) for command, _ in commands)
    for command, why in commands:
        console.print(Text.assemble(f"  {command:<{width}}", (f"  # {why}", "dim")))
    console.print("\nCtrl-C ends the demo and everything that it started.")


def _program() -> str:
    """How this program was called: what is tried next must work where no PATH leads to it."""
    name = sys.argv[0]
    return name if name.endswith("hfi-cli") else "hfi-cli"
