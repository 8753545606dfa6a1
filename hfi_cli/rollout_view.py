"""A rollout of the filter module, for people: as it is, and live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hfi_cli import words
from hfi_cli.answers import Rollout, RolloutCounts
from hfi_cli.console import err, out, row, table
from hfi_cli.errors import NotReachable

LOOK_AGAIN_SECONDS = 0.2
#: Events that are shown; ``-o json`` has all that are kept.
EVENTS = 5
BAR_WIDTH = 40
_STYLES = {"running": "cyan", "paused": "yellow", "completed": "green", "rolled_back": "red"}


def show(found: Rollout) -> None:
    """Print it."""
    out().print(_facts(found))
    made = table("TIME", "EVENT", "WHAT")
    for event in found["events"][-EVENTS:]:
        style = "red" if event["kind"] == "rolled_back" else ""
        row(made, words.moment(event["atMs"]), Text(event["kind"].replace("_", " "), style), event["detail"])
    if made.row_count:
        out().print()
        out().print(made)


def changes(ask: Callable[[], Rollout], lost: Callable[[NotReachable], None]) -> Iterator[Rollout]:
    """How it stands, again whenever that has changed; the last one is when no rollout is under way.

    A server that goes away meanwhile is asked again until it is back; ``lost`` is told once each time.
    """
    last: Rollout | None = None
    away = False
    while True:
        try:
            found = ask()
        except NotReachable as error:
            if last is None:
                raise
            if not away:
                lost(error)
            away = True
            time.sleep(LOOK_AGAIN_SECONDS)
            continue
        away = False
        if found != last:
            yield found
        last = found
        if not under_way(found):
            return
        time.sleep(LOOK_AGAIN_SECONDS)


def under_way(found: Rollout) -> bool:
    """Whether nodes run a candidate."""
    return found["rollout"] is not None and found["rollout"]["state"] in ("running", "paused")


@contextmanager
def live(wanted: bool) -> Iterator[Callable[[Rollout], None]]:
    """Shows what it is told, in place, on a terminal; elsewhere a line on standard error for each."""
    from rich.live import Live

    console = err()
    if not wanted:
        yield lambda found: None
    elif not console.is_terminal:
        yield lambda found: console.print(_line(found))
    else:
        with Live(console=console, transient=True, auto_refresh=False) as shown:
            yield lambda found: shown.update(_frame(found), refresh=True)


def _frame(found: Rollout) -> Group:
    # A rollout that has ended covers nobody any more: no bar, rather than one of 0/0.
    return Group(_facts(found), *([_bar(found)] if under_way(found) else []))


def _facts(found: Rollout) -> Table:
    made = table("", "")
    made.show_header = False
    row(made, "stable", _module(found["stable"]["version"], found["nodes"]["stable"]))
    rollout = found["rollout"]
    if rollout is None:
        return made
    row(made, "candidate", _module(rollout["candidate"]["version"], found["nodes"]["candidate"], under_way(found)))
    row(made, "state", Text(rollout["state"].replace("_", " "), _STYLES.get(rollout["state"], "")))
    if rollout["reason"]:
        row(made, "reason", Text(rollout["reason"], "red"))
    row(made, "covers", covers(found))
    row(made, "attempt", rollout["candidate"]["generation"] - 1)
    row(made, "watched for", f"{words.span(rollout['watchSeconds'] * 1000)}, {rollout['maxErrors']} errors allowed")
    return made


def covers(found: Rollout) -> str:
    """Whom it is for, in words: ``10% of the nodes and track=canary``."""
    rollout = found["rollout"]
    assert rollout is not None
    parts = [words.percentage(rollout["share"]) + " of the nodes"] if rollout["share"] else []
    if rollout["selector"] is not None:
        parts.append(words.proxies(rollout["selector"]))
    return " and ".join(parts)


def _module(version: str, counts: RolloutCounts, active: bool = True) -> Text:
    if not active:
        return Text(version)
    text = Text(f"{version}, {counts['applied']} of {sum(_each(counts))} connected nodes")
    if counts["rejected"]:
        text.append(f", {counts['rejected']} rejected it", "red")
    return text


def _bar(found: Rollout) -> Table:
    counts = found["nodes"]["candidate"]
    total = sum(_each(counts))
    made = Table.grid(padding=(0, 1))
    made.add_row(
        Text("nodes"),
        ProgressBar(total=max(1, total), completed=counts["applied"], width=BAR_WIDTH),
        Text(f"{counts['applied']}/{total}"),
    )
    return made


def _line(found: Rollout) -> str:
    rollout, counts = found["rollout"], found["nodes"]["candidate"]
    if rollout is None:
        return f"stable {found['stable']['version']}, no rollout"
    state = rollout["state"].replace("_", " ")
    nodes = f", {counts['applied']} of {sum(_each(counts))} nodes" if under_way(found) else ""
    return f"{rollout['candidate']['version']} {state}, {covers(found)}{nodes}"


def _each(counts: RolloutCounts) -> tuple[int, int, int]:
    return counts["applied"], counts["waiting"], counts["rejected"]
