"""``hfi-cli filter``: the catalogue of filter modules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hfi_cli import words
from hfi_cli.choices import Output
from hfi_cli.commands import filter_delete, filter_rollout
from hfi_cli.console import out, row, show_data, show_table, table
from hfi_cli.errors import UsageError
from hfi_cli.session import OutputOption, ServerOption, connect

app = typer.Typer(help="The filter's modules: which there are, and which proxies run.", no_args_is_help=True)
app.add_typer(filter_rollout.app, name="rollout")
app.command()(filter_delete.delete)


@app.command()
def push(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.wasm", help="The module.", show_default=False)],
    version: Annotated[
        str, typer.Option("--version", metavar="VERSION", help="What it is to be called.", show_default=False)
    ],
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="A line about it.", show_default=False)] = "",
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Take a module into the catalogue. Nothing runs it before a rollout."""
    with connect(ctx, server, output) as session:
        try:
            code = file.read_bytes()
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from error
        pushed = session.client.push_filter(version, code, note)
        if session.output is not Output.table:
            show_data(pushed["module"], session.output)
            return
        module = pushed["module"]
        verb = "pushed" if pushed["created"] else "is in the catalogue already"
        out().print(f"filter {module['version']} {verb} ({module['digest'][:12]}, {size(module['size'])})")


@app.command("list")
def list_(ctx: typer.Context, server: ServerOption = None, output: OutputOption = None) -> None:
    """List the modules of the catalogue, the newest first."""
    with connect(ctx, server, output) as session:
        found = session.client.filters()
        if session.output is not Output.table:
            show_data(found, session.output)
            return
        made = table("VERSION", "ROLE", "DIGEST", "SIZE", "ABI", "PUSHED", "NOTE")
        for module in found:
            pushed = words.moment(module["pushedAtMs"])
            row(
                made,
                module["version"],
                module["role"],
                module["digest"][:12],
                size(module["size"]),
                module["abi"],
                pushed,
                module["note"],
            )
        show_table(made, "The catalogue is empty.")


@app.command()
def describe(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="The module's version.", show_default=False)],
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write its bytes there.", show_default=False)
    ] = None,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Say everything about one module."""
    with connect(ctx, server, output) as session:
        module = session.client.filter(version)
        if save is not None:
            code = session.client.filter_code(version)
            try:
                save.write_bytes(code)
            except OSError as error:
                raise UsageError(f"{save}: {error.strerror}") from error
        if session.output is not Output.table:
            show_data(module, session.output)
            return
        described(module)


# ------------------------------------------------------------------------------------------------------------


def described(module: Mapping[str, Any]) -> None:
    """All about a module, a line each."""
    made = table("", "")
    made.show_header = False
    row(made, "version", module["version"])
    row(made, "role", module["role"])
    row(made, "digest", module["digest"])
    row(made, "size", size(module["size"]))
    row(made, "proxy-wasm ABI", module["abi"])
    row(made, "pushed", words.moment(module["pushedAtMs"]))
    row(made, "note", module["note"] or None)
    out().print(made)


def size(count: int) -> str:
    """A number of bytes, for people."""
    return f"{count / 1024:.0f} KiB" if count >= 1024 else f"{count} B"
