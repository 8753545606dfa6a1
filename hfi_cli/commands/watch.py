"""``hfi-cli watch``: the stream of rules, live."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hfi_cli import changes, words
from hfi_cli.choices import Output
from hfi_cli.console import err, json_line, out, print_raw, show_data
from hfi_cli.session import OutputOption, ServerOption, connect, pairs

if TYPE_CHECKING:
    from hfi_cli.answers import Update
    from hfi_cli.errors import NotReachable

_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "moved": ("~", "yellow")}


def watch(
    ctx: typer.Context,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="As a proxy of this cluster.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="As a proxy with this label.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=0, help="End after N updates; 0: until Ctrl-C.")
    ] = 0,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Show the rules, and then each change as it is made."""

    def lost(error: NotReachable) -> None:
        err().print(Text(f"{error}; connecting again", "yellow"))

    with connect(ctx, server, output) as session:
        labels = pairs(label, "--label") if label else None
        before: Update | None = None
        seen = 0
        try:
            for update in session.client.stream(cluster=cluster, labels=labels, lost=lost):
                if session.output is Output.json:
                    print_raw(json_line(asdict(update)))
                elif session.output is Output.yaml:
                    print_raw("---")
                    show_data(asdict(update), Output.yaml)
                else:
                    _show(before, update)
                before = update
                seen += 1
                if seen == count:
                    return
        except KeyboardInterrupt:
            # How a person ends it: nothing went wrong.
            err().print()


def _show(before: Update | None, update: Update) -> None:
    console = out()
    rules = len(update.rules)
    told = words.moment(update.server_time_ms)
    if before is not None and before.epoch != update.epoch:
        console.print(Text(f"{told}  the store is another one than before; everything is read anew", "yellow"))
    console.print(f"{told}  version {update.version}, {rules} rule{'' if rules == 1 else 's'}")
    found = changes.between([] if before is None else before.rules, update.rules)
    for change in found:
        sign, style = _SIGNS[change.kind]
        console.print(Text(f"  {sign} {change.name}: {'; '.join(change.details)}", style))
