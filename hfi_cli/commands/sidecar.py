"""``hfi-cli sidecar``: what whole Envoys are to be, a document for each cluster."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from hfi_cli.choices import Output
from hfi_cli.console import out, row, show_data, show_table, table
from hfi_cli.errors import ExitCode
from hfi_cli.session import DryRunOption, FilesOption, OutputOption, ServerOption, complain, connect

app = typer.Typer(help="Documents for Envoys that get all of their configuration from here.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The cluster.", show_default=False)]


@app.command()
def apply(
    ctx: typer.Context,
    files: FilesOption,
    dry_run: DryRunOption = False,
    server: ServerOption = None,
    output: OutputOption = None,
) -> None:
    """Create or update sidecar documents; all are checked before any is written."""
    from hfi_cli import applying, documents

    with connect(ctx, server, output) as session:
        located = documents.read(files)
        told: list[Any] = []
        for dry in (True,) if dry_run else (True, False):
            told, bad = applying.try_all(partial(session.client.apply_sidecar, dry_run=dry), located)
            for failure in bad:
                complain(failure.message, failure.details)
            if bad:
                raise typer.Exit(ExitCode.REFUSED)
        if session.output is not Output.table:
            show_data(told, session.output)
            return
        for document in told:
            done = "would be applied (dry run)" if dry_run else f"applied (version {document['metadata']['version']})"
            out().print(f"sidecar {document['metadata']['name']} {done}")


@app.command("list")
def list_(ctx: typer.Context, server: ServerOption = None, output: OutputOption = None) -> None:
    """List them."""
    with connect(ctx, server, output) as session:
        found = session.client.sidecars()
        if session.output is not Output.table:
            show_data(found, session.output)
            return
        shown = table("CLUSTER", "LISTEN", "UPSTREAM", "VERSION")
        for one in found:
            spec = one["spec"]
            # What a document leaves out, each node says of itself.
            upstream = ", ".join(spec.get("upstream", ())) or None
            row(shown, one["metadata"]["name"], spec.get("listen"), upstream, one["metadata"]["version"])
        show_table(shown, "No cluster has a sidecar document.")


@app.command()
def get(ctx: typer.Context, name: Name, server: ServerOption = None, output: OutputOption = None) -> None:
    """Print one document as it is stored; as YAML, unless -o json says otherwise."""
    with connect(ctx, server, output) as session:
        document = session.client.sidecar(name)
        show_data(document, Output.yaml if session.output is Output.table else session.output)


@app.command()
def delete(ctx: typer.Context, name: Name, server: ServerOption = None, output: OutputOption = None) -> None:
    """Delete one. Envoys that have their listener from it stop listening."""
    with connect(ctx, server, output) as session:
        version = session.client.delete_sidecar(name)
        if session.output is not Output.table:
            show_data({"name": name, "version": version}, session.output)
            return
        out().print(f"sidecar {name} deleted (version {version})")
