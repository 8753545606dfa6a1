"""``hfi-cli policy``: apply, list, get, describe, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from hfi_cli import rollout, words
from hfi_cli.choices import Output
from hfi_cli.commands.completion import policy_names
from hfi_cli.console import err, out, row, show_data, show_table, table
from hfi_cli.errors import ClientError, ExitCode, UsageError
from hfi_cli.session import (
    OutputOption,
    ServerOption,
    Session,
    complain,
    connect,
    exit_code,
    pairs,
)

if TYPE_CHECKING:
    from hfi_cli.applying import Failure, Written

app = typer.Typer(help="Apply, read and delete policies.", no_args_is_help=True)

DEFAULT_TIMEOUT = "60s"
Name = Annotated[str, typer.Argument(help="The policy's name.", autocompletion=policy_names, show_default=False)]
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


@app.command(cls=Waiting)
def apply(
    ctx: typer.Context,
    files: Annotated[
        list[str],
        typer.Option(
            "--file", "-f", metavar="FILE|DIR|-", help="YAML or JSON; may be given several times.", show_default=False
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the server check everything, and write nothing.")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Create or update the policies of these documents; all are checked before any is written."""
    from hfi_cli import applying, documents

    with connect(ctx, server, output) as session:
        seconds = _seconds(timeout)
        located = documents.read(files)
        tried, bad = applying.try_all(session.client, located)
        if bad:
            _refuse(bad, len(located))
        if dry_run:
            _show_tried(session, [applied["policy"] for applied in tried])
            return
        written: list[Written] = []

        def told(one: Written) -> None:
            written.append(one)
            if session.output is Output.table:
                _say("created" if one.applied["created"] else "updated", one.applied["policy"])

        ended = applying.write_all(session.client, located, told)
        if session.output is not Output.table:
            show_data([one.applied["policy"] for one in written], session.output)
        if ended is not None:
            _stopped(ended, [str(one.applied["policy"]["metadata"]["name"]) for one in written])
        if wait:
            selectors = [selector for one in written for selector in one.selectors]
            _wait(session, selectors, max(one.version for one in written), seconds)


@app.command("list")
def list_(
    ctx: typer.Context,
    selector: Annotated[
        list[str] | None, typer.Option("--selector", "-l", metavar="KEY=VALUE", help="Only those with this label.")
    ] = None,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """List the policies."""
    with connect(ctx, server, output) as session:
        found = list(session.client.list(pairs(selector or (), "--selector")))
        if session.output is not Output.table:
            show_data(found, session.output)
            return
        made = table("NAME", "VERSION", "PRIORITY", "STATE", "RULES", "PROXIES", "LABELS", "ENDS")
        for policy in found:
            metadata, spec = policy["metadata"], policy["spec"]
            ends = policy["status"].get("expiresAtMs")
            row(
                made,
                metadata["name"],
                metadata["version"],
                spec.get("priority", 0),
                _state(spec),
                len(spec["rules"]),
                words.proxies(spec.get("selector", {})),
                words.labels(metadata.get("labels", {})),
                "never" if ends is None else words.moment(ends),
            )
        show_table(made, "There are no policies.")


@app.command()
def get(ctx: typer.Context, name: Name, server: ServerOption = None, output: OutputOption = None) -> None:
    """Print one policy as it is stored; as YAML, unless -o json says otherwise."""
    with connect(ctx, server, output) as session:
        policy = session.client.get(name)
        show_data(policy, Output.yaml if session.output is Output.table else session.output)


@app.command()
def describe(ctx: typer.Context, name: Name, server: ServerOption = None, output: OutputOption = None) -> None:
    """Say in words what one policy does, to which proxies, and what it has done so far."""
    with connect(ctx, server, output) as session:
        policy = session.client.get(name)
        counted = {one["rule"]: one for one in session.client.metrics()["rules"] if one["policy"] == name}
        if session.output is not Output.table:
            show_data({"policy": policy, "metrics": list(counted.values())}, session.output)
            return
        metadata, spec, status = policy["metadata"], policy["spec"], policy["status"]
        facts = table("", "")
        facts.show_header = False
        row(facts, "Name", metadata["name"])
        row(facts, "Version", metadata["version"])
        row(facts, "State", _state(spec))
        row(facts, "Priority", spec.get("priority", 0))
        row(facts, "Proxies", words.proxies(spec.get("selector", {})))
        row(facts, "Health checks", "touched too" if spec.get("includeProbes") else "left alone")
        row(facts, "Labels", words.labels(metadata.get("labels", {})))
        for key, value in metadata.get("annotations", {}).items():
            row(facts, f"Note {key}", value)
        row(facts, "Applied", words.moment(status["appliedAtMs"]))
        row(facts, "Ends", "never" if "expiresAtMs" not in status else words.moment(status["expiresAtMs"]))
        out().print(facts)
        made = table("RULE", "REQUESTS", "FAULT", "LASTS", "MATCHED", "INJECTED", "SHADOWED")
        for rule in spec["rules"]:
            lasts = rule["fault"].get("duration_seconds")
            metrics = counted.get(rule["name"])
            row(
                made,
                rule["name"],
                words.match(rule.get("match", {})),
                words.fault(rule["fault"]),
                words.span(lasts * 1000) if lasts else "no end",
                metrics["matched"] if metrics else 0,
                sum(metrics["injected"].values()) if metrics else 0,
                sum(metrics["shadowed"].values()) if metrics else 0,
            )
        out().print()
        out().print(made)


@app.command(cls=Waiting)
def delete(
    ctx: typer.Context,
    names: Annotated[
        list[str], typer.Argument(help="The policies' names.", autocompletion=policy_names, show_default=False)
    ],
    version: Annotated[
        str | None,
        typer.Option("--if-version", metavar="VERSION", help="Only when this is its version.", show_default=False),
    ] = None,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Delete policies. Their faults stop at once."""
    with connect(ctx, server, output) as session:
        seconds = _seconds(timeout)
        if version is not None and (len(names) > 1 or not re.fullmatch("[0-9]+", version)):
            raise UsageError("--if-version is the version, a number, of the one policy that is deleted")
        gone: list[dict[str, str]] = []
        selectors: list[Mapping[str, Any]] = []
        for name in names:
            if wait:
                selectors.append(rollout.selector(session.client.get(name)))
            gone.append({"name": name, "version": session.client.delete(name, expected=version)})
            if session.output is Output.table:
                out().print(f"policy {name} deleted (version {gone[-1]['version']})")
        if session.output is not Output.table:
            show_data(gone, session.output)
        if wait:
            _wait(session, selectors, max(int(one["version"]) for one in gone), seconds)


# ------------------------------------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?", text)
    if found is None:
        raise UsageError(f"--timeout wants a duration such as 90s or 5m, not {text!r}")
    return float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[found[2] or "s"]


def _state(spec: Mapping[str, Any]) -> str:
    if not spec.get("enabled", True):
        return "disabled"
    return "shadow" if spec.get("mode") == "shadow" else "enforced"


def _say(verb: str, policy: Mapping[str, Any]) -> None:
    out().print(f"policy {policy['metadata']['name']} {verb} (version {policy['metadata']['version']})")


def _show_tried(session: Session, policies: Sequence[Mapping[str, Any]]) -> None:
    if session.output is not Output.table:
        show_data(list(policies), session.output)
        return
    for policy in policies:
        verb = "updated" if policy["metadata"].get("version", "0") != "0" else "created"
        out().print(f"policy {policy['metadata']['name']} would be {verb} (dry run)")


def _refuse(bad: Sequence[Failure], among: int) -> None:
    for failure in bad:
        complain(failure.message, failure.details)
    if among > 1:
        err().print(f"{len(bad)} of {among} documents are refused; nothing was applied.")
    raise typer.Exit(ExitCode.REFUSED)


def _stopped(ended: Failure | ClientError, names: Sequence[str]) -> None:
    if isinstance(ended, ClientError):
        complain(str(ended))
        code = exit_code(ended)
    else:
        complain(ended.message, ended.details)
        code = ExitCode.REFUSED
    err().print(f"Applied before that: {', '.join(names) or 'nothing'}.")
    raise typer.Exit(code)


def _wait(session: Session, selectors: Sequence[Mapping[str, Any]], version: int, seconds: float) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = err()
    columns = (TextColumn("proxies"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("proxies", total=None)

        def told(progress: rollout.Progress) -> None:
            total = len(progress.concerned)
            bar.update(task, total=total, completed=total - len(progress.lagging))

        reached = rollout.wait(session.client.proxies, selectors, version, seconds, told)
    count = len(reached.concerned)
    console.print(
        f"{count} connected {'proxy has' if count == 1 else 'proxies have'} version {version}."
        if count
        else "No connected proxy is concerned."
    )
