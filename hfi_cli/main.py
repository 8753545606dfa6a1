"""``hfi-cli``: the program. Its commands are in :mod:`hfi_cli.commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfi_cli.choices import Output
from hfi_cli.commands import ask, bootstrap, certs, demo, filter, policy, serve, sidecar, watch
from hfi_cli.session import OUTPUT_HELP, SERVER_HELP, Globals

app = typer.Typer(
    name="hfi-cli",
    help="HTTP fault injection for services behind Envoy: policies, the control plane, and a demo of both.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_show_locals=False,
)
app.add_typer(policy.app, name="policy")
app.add_typer(sidecar.app, name="sidecar")
app.add_typer(filter.app, name="filter")
app.add_typer(ask.proxy_app, name="proxy")
app.command("explain")(ask.explain)
app.command("metrics")(ask.metrics)
app.command("watch")(watch.watch)
app.command("serve")(serve.serve)
app.command("bootstrap")(bootstrap.bootstrap)
app.command("certs")(certs.certs)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hfi-cli {version('hfi')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    server: Annotated[
        str, typer.Option("--server", metavar="URL", envvar="HFI_SERVER", help=SERVER_HELP)
    ] = "http://127.0.0.1:8080",
    ca: Annotated[
        Path | None,
        typer.Option("--ca", metavar="PEM", envvar="HFI_CA", help="https: the only authority to believe."),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="PEM", envvar="HFI_CERT", help="https: our own certificate.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="PEM", envvar="HFI_KEY", help="https: its key.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help=OUTPUT_HELP)] = Output.table,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 the server is not reachable."""
    ctx.obj = Globals(server, output, ca, cert, key)


if __name__ == "__main__":
    app()
