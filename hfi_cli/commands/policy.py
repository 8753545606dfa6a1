"""``hfi-cli policy``: apply, list, get, describe, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfi_cli import policy_view, rollout, waiting
from hfi_cli.choices import Output
from hfi_cli.commands.completion import policy_names
from hfi_cli.console import err, out, show_data
from hfi_cli.errors import ClientError, ExitCode, UsageError
from hfi_cli.session import (
    DryRunOption,
    FilesOption,
    OutputOption,
    ServerOption,
    Session,
    complain,
    connect,
    exit_code,
    pairs,
)
from hfi_cli.waiting import DEFAULT_TIMEOUT, Timeout, Wait, Waiting

if TYPE_CHECKING:
    from hfi_cli.applying import Failure, Written

app = typer.Typer(help="Apply, read and delete policies.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The policy's name.", autocompletion=policy_names, show_default=False)]


@app.command(cls=Waiting)
def apply(
    ctx: typer.Context,
    files: FilesOption,
    dry_run: DryRunOption = False,
    wait: Wait = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Create or update the policies of these documents; all are checked before any is written."""
    from hfi_cli import applying, documents

    with connect(ctx, server, output) as session:
        seconds = waiting.seconds(timeout)
        located = documents.read(files)
        tried, bad = applying.try_all(partial(session.client.apply, dry_run=True), located)
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
            waiting.wait(session, selectors, max(one.version for one in written), seconds)


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
        policy_view.listed(found)


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
        policy_view.described(policy, counted)


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
        seconds = waiting.seconds(timeout)
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
            waiting.wait(session, selectors, max(int(one["version"]) for one in gone), seconds)


# ------------------------------------------------------------------------------------------------------------


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
