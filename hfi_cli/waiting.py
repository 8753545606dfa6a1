"""``--wait``, which several commands take: its options, and the waiting with a bar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from hfi_cli import rollout
from hfi_cli.console import err
from hfi_cli.errors import UsageError
from hfi_cli.session import Session

DEFAULT_TIMEOUT = "60s"
Wait = Annotated[
    bool, typer.Option("--wait", help="Until every connected proxy that it concerns has it. Also --wait=TIMEOUT.")
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", metavar="DURATION", help="How long to wait, such as 90s or 5m; implies nothing alone."),
]


class Waiting(TyperCommand):
    """Takes ``--wait=30s`` for ``--wait --timeout=30s``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See the class."""
        spread: list[str] = []
        for arg in args:
            spread += ["--wait", f"--timeout={arg.removeprefix('--wait=')}"] if arg.startswith("--wait=") else [arg]
        return super().parse_args(ctx, spread)


def seconds(text: str) -> float:
    """A timeout such as ``90s``. Raises :class:`~hfi_cli.errors.UsageError`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?", text)
    if found is None:
        raise UsageError(f"--timeout wants a duration such as 90s or 5m, not {text!r}")
    return float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[found[2] or "s"]


def wait(session: Session, selectors: Sequence[Mapping[str, Any]], version: int, timeout: float) -> None:
    """Until every connected proxy that a selector covers has that version. Raises :class:`~hfi_cli.errors.NotDone`."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = err()
    columns = (TextColumn("proxies"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("proxies", total=None)

        def told(progress: rollout.Progress) -> None:
            total = len(progress.concerned)
            bar.update(task, total=total, completed=total - len(progress.lagging))

        reached = rollout.wait(session.client.proxies, selectors, version, timeout, told)
    count = len(reached.concerned)
    console.print(
        f"{count} connected {'proxy has' if count == 1 else 'proxies have'} version {version}."
        if count
        else "No connected proxy is concerned."
    )
