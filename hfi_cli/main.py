"""``hfi-cli``: the program. Its commands are in :mod:`hfi_cli.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from hfi_cli.choices import Output
from hfi_cli.commands import ask, bootstrap, demo, policy, serve, watch
from hfi_cli.session import OUTPUT_HELP, SERVER_HELP, Globals

app = typer.Typer(
    name="hfi-cli",
    help="HTTP fault injection for services behind Envoy: policies, the control plane, and a demo of both.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_show_locals=False,
)
app.add_typer(policy.app, name="policy")
app.add_typer(ask.proxy_app, name="proxy")
app.command("explain")(ask.explain)
app.command("metrics")(ask.metrics)
app.command("watch")(watch.watch)
app.command("serve")(serve.serve)
app.command("bootstrap")(bootstrap.bootstrap)
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
    output: Annotated[Output, typer.Option("--output", "-o", help=OUTPUT_HELP)] = Output.table,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 the server is not reachable."""
    ctx.obj = Globals(server, output)


if __name__ == "__main__":
    app()
