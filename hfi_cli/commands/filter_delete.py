"""``hfi-cli filter delete``: take modules out of the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from hfi_cli.answers import FilterModule
from hfi_cli.choices import Output
from hfi_cli.console import out, show_data
from hfi_cli.session import OutputOption, ServerOption, connect


def delete(
    ctx: typer.Context,
    versions: Annotated[list[str], typer.Argument(metavar="VERSION", help="The modules.", show_default=False)],
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Delete modules from the catalogue. One that proxies run, or are to run, is refused."""
    with connect(ctx, server, output) as session:
        gone: list[FilterModule] = []
        for version in versions:
            gone.append(session.client.delete_filter(version))
            if session.output is Output.table:
                out().print(f"filter {version} deleted ({gone[-1]['digest'][:12]})")
        if session.output is not Output.table:
            show_data(gone, session.output)
