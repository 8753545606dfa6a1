"""``hfi-cli bootstrap``: an Envoy bootstrap on standard output."""

from __future__ import annotations

from typing import Annotated

import typer

from hfi_cli.console import print_raw
from hfi_cli.errors import UsageError
from hfi_cli.session import errors_to_exit_codes, pairs


def bootstrap(
    node_id: Annotated[str, typer.Option("--node-id", metavar="ID", help="This proxy's name.", show_default=False)],
    cluster: Annotated[
        str,
        typer.Option("--cluster", metavar="NAME", help="What it belongs to: selectors name it.", show_default=False),
    ],
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream", metavar="HOST:PORT", help="The application; needed, unless --minimal.", show_default=False
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="IP:PORT",
            help="Where Envoy takes requests. [default: 127.0.0.1:10000, and nothing with --minimal]",
            show_default=False,
        ),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(
            "--admin",
            metavar="IP:PORT",
            help="Envoy's own interface; keep it local. [default: 127.0.0.1:9901, and none with --minimal]",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        list[str] | None,
        typer.Option(
            "--http", metavar="HOST:PORT", help="The control plane's HTTP; once a replica. [default: 127.0.0.1:8080]"
        ),
    ] = None,
    xds: Annotated[
        list[str] | None,
        typer.Option("--xds", metavar="HOST:PORT", help="Its xDS; once a replica. [default: 127.0.0.1:18000]"),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label for selectors; several times.")
    ] = None,
    access_log: Annotated[
        str | None,
        typer.Option(
            "--access-log",
            metavar="FILE|-",
            help="Write an access log that names each request's fault; - is standard output.",
            show_default=False,
        ),
    ] = None,
    no_bandwidth: Annotated[
        bool,
        typer.Option("--no-bandwidth", help="Leave Envoy's fault filter out: bandwidth in a policy then does nothing."),
    ] = False,
    ca: Annotated[
        str | None,
        typer.Option("--ca", metavar="PEM", help="TLS: who signs the control plane's certificate.", show_default=False),
    ] = None,
    cert: Annotated[
        str | None, typer.Option("--cert", metavar="PEM", help="TLS: this proxy's certificate.", show_default=False)
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="PEM", help="TLS: its key.", show_default=False)] = None,
    server_name: Annotated[
        list[str] | None,
        typer.Option(
            "--server-name",
            metavar="NAME",
            help="TLS: what the control plane's certificate may say; several times. [default: the hosts]",
        ),
    ] = None,
    snippet: Annotated[
        bool, typer.Option("--snippet", help="Only what to add to a bootstrap of your own, marked as such.")
    ] = False,
    minimal: Annotated[
        bool,
        typer.Option(
            "--minimal",
            help="Only who it is, and how it reaches the control plane, which sends all the rest. What is not given "
            "here is said by its cluster's document, kind: Sidecar.",
        ),
    ] = False,
) -> None:
    """Print an Envoy bootstrap with HFI's filter in front of one application."""
    from hfi_cli import bootstrap as texts
    from hfi_core.address import Address

    with errors_to_exit_codes():
        if minimal and snippet:
            raise UsageError("--minimal and --snippet: one or the other")
        if not minimal:
            listen, admin = listen or "127.0.0.1:10000", admin or "127.0.0.1:9901"
        sidecar = texts.Sidecar(
            node_id=node_id,
            cluster=cluster,
            listen=None if listen is None else Address.parse(listen),
            upstream=None if upstream is None else Address.parse(upstream),
            admin=None if admin is None else Address.parse(admin),
            http=[Address.parse(text) for text in http or ["127.0.0.1:8080"]],
            xds=[Address.parse(text) for text in xds or ["127.0.0.1:18000"]],
            labels=pairs(label or (), "--label"),
            access_log=access_log,
            bandwidth=not no_bandwidth,
            tls=texts.ClientTls.of(ca, cert, key, server_name or ()),
        )
        text = texts.minimal if minimal else texts.snippet if snippet else texts.sidecar
        print_raw(text(sidecar).rstrip("\n"))
