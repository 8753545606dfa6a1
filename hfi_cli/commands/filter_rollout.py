"""``hfi-cli filter rollout``: have nodes run another module, a few at first."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from hfi_cli import rollout_view
from hfi_cli.answers import Rollout
from hfi_cli.choices import Output
from hfi_cli.console import err, json_line, print_raw, show_data
from hfi_cli.errors import NotDone, NotReachable, UsageError
from hfi_cli.session import OutputOption, ServerOption, Session, connect, pairs, warn

app = typer.Typer(help="Have proxies run another module: a few at first, then more.", no_args_is_help=True)

Share = Annotated[
    float | None,
    typer.Option("--share", metavar="PERCENT", min=0, max=100, help="Of all nodes.", show_default=False),
]


@app.command()
def start(
    ctx: typer.Context,
    version: Annotated[
        str, typer.Option("--version", metavar="VERSION", help="The module's, in the catalogue.", show_default=False)
    ],
    share: Share = None,
    selector: Annotated[
        list[str] | None,
        typer.Option(
            "--selector",
            "-l",
            metavar="KEY=VALUE",
            help="The nodes with these labels; several times.",
            show_default=False,
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="The nodes of this cluster.", show_default=False)
    ] = None,
    watch_seconds: Annotated[
        int | None,
        typer.Option(
            "--watch-seconds", metavar="SECONDS", min=10, help="How long each node is watched; 60.", show_default=False
        ),
    ] = None,
    max_errors: Annotated[
        int | None,
        typer.Option(
            "--max-errors",
            metavar="N",
            min=0,
            help="How many errors more than other nodes one may have by then; 0.",
            show_default=False,
        ),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Start a rollout: for a share of the nodes, for those that a selector covers, or both."""
    with connect(ctx, server, output) as session:
        wanted: dict[str, Any] = {}
        if selector:
            wanted["labels"] = pairs(selector, "--selector")
        if cluster is not None:
            wanted["cluster"] = cluster
        if not share and not wanted:
            raise UsageError("say for whom: --share PERCENT, --selector KEY=VALUE, or --cluster NAME")
        started = session.client.start_rollout(
            version, share=share, selector=wanted or None, watch_seconds=watch_seconds, max_errors=max_errors
        )
        _show(session, started)
        if not any(started["nodes"]["candidate"].values()):
            warn(
                f"of the connected nodes none is covered by {rollout_view.covers(started)}: none runs {version} yet. "
                "hfi-cli proxy list shows which are connected"
            )


@app.command()
def advance(
    ctx: typer.Context,
    share: Share = None,
    resume: Annotated[bool, typer.Option("--resume", help="Also when it is paused.")] = False,
    unwatched: Annotated[
        bool, typer.Option("--unwatched", help="From 100 %, also before the nodes that came last have been watched.")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """To a larger share: 1, 5, 10, 25, 50, 100 % in turn. From 100 %, the candidate becomes the stable module.

    It does when the nodes that came last have been watched: from then on, nothing takes it back by itself.
    """
    with connect(ctx, server, output) as session:
        if share == 0:
            raise UsageError("--share is what the rollout grows to, above 0; hfi-cli filter rollout rollback ends it")
        _show(session, session.client.advance_rollout(share, resume=resume, unwatched=unwatched))


@app.command()
def pause(ctx: typer.Context, server: ServerOption = None, output: OutputOption = None) -> None:
    """Let nobody advance it, unless with --resume. Who has the candidate keeps it, and is watched as before."""
    with connect(ctx, server, output) as session:
        _show(session, session.client.pause_rollout())


@app.command()
def rollback(
    ctx: typer.Context,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why, for who asks later.", show_default=False)
    ] = None,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Back to the stable module, at once."""
    with connect(ctx, server, output) as session:
        _show(session, session.client.roll_back(reason))


@app.command()
def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Live, until no rollout is under way.")] = False,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Say how the rollout stands. With --watch, code 1 when it was rolled back meanwhile."""
    with connect(ctx, server, output) as session:
        if watch:
            _watch(session)
        else:
            _show(session, session.client.rollout())


# ------------------------------------------------------------------------------------------------------------


def _show(session: Session, found: Rollout) -> None:
    if session.output is Output.table:
        rollout_view.show(found)
    else:
        show_data(found, session.output)


def _watch(session: Session) -> None:
    def lost(error: NotReachable) -> None:
        err().print(Text(f"{error}; asking again", "yellow"))

    last: Rollout | None = None
    try:
        with rollout_view.live(session.output is Output.table) as update:
            for found in rollout_view.changes(session.client.rollout, lost):
                update(found)
                if session.output is Output.json:
                    print_raw(json_line(found))
                elif session.output is Output.yaml:
                    print_raw("---")
                    show_data(found, Output.yaml)
                last = found
    except KeyboardInterrupt:
        # How a person ends it: nothing went wrong.
        err().print()
    if last is None:
        return
    if session.output is Output.table:
        rollout_view.show(last)
    ended = last["rollout"]
    if ended is not None and ended["state"] == "rolled_back":
        raise NotDone(f"rolled back to {last['stable']['version']}: {ended['reason']}")
