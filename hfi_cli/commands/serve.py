"""``hfi-cli serve``: a control plane in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfi_cli.choices import LogFormat, LogLevel, StoreKind
from hfi_cli.console import print_raw
from hfi_cli.session import errors_to_exit_codes

if TYPE_CHECKING:
    from hfi_cli.settings import ServeSettings

ETCD = "With --store etcd"
TLS = "TLS, on HTTP and xDS"
LIMITS = "What clients may cost"
FILTER = "The filter in every proxy"
LOGS = "Logs"


def serve(
    http: Annotated[
        str, typer.Option("--http", metavar="HOST:PORT", envvar="HFI_HTTP", help="Where REST and SSE listen.")
    ] = "127.0.0.1:8080",
    xds: Annotated[
        str, typer.Option("--xds", metavar="HOST:PORT", envvar="HFI_XDS", help="Where xDS listens.")
    ] = "127.0.0.1:18000",
    store: Annotated[
        StoreKind,
        typer.Option("--store", envvar="HFI_STORE", help="Where policies are kept; embedded is for development."),
    ] = StoreKind.embedded,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", metavar="DIR", envvar="HFI_DATA_DIR", help="The embedded etcd's data.")
    ] = Path("hfi-data"),
    etcd: Annotated[
        list[str] | None,
        typer.Option("--etcd", metavar="URL", envvar="HFI_ETCD", help="A member; several times.", rich_help_panel=ETCD),
    ] = None,
    etcd_ca: Annotated[
        Path | None,
        typer.Option("--etcd-ca", metavar="PEM", envvar="HFI_ETCD_CA", help="Who signs them.", rich_help_panel=ETCD),
    ] = None,
    etcd_cert: Annotated[
        Path | None,
        typer.Option("--etcd-cert", metavar="PEM", envvar="HFI_ETCD_CERT", help="Ours.", rich_help_panel=ETCD),
    ] = None,
    etcd_key: Annotated[
        Path | None,
        typer.Option("--etcd-key", metavar="PEM", envvar="HFI_ETCD_KEY", help="Its key.", rich_help_panel=ETCD),
    ] = None,
    etcd_user: Annotated[
        str | None,
        typer.Option(
            "--etcd-user",
            metavar="NAME",
            envvar="HFI_ETCD_USER",
            help="The password comes from HFI_ETCD_PASSWORD.",
            rich_help_panel=ETCD,
        ),
    ] = None,
    max_staleness: Annotated[
        int,
        typer.Option(
            "--max-staleness",
            metavar="SECONDS",
            envvar="HFI_MAX_STALENESS",
            help="Without word from us for so long, a proxy stops injecting; 0: never.",
            rich_help_panel=FILTER,
        ),
    ] = 600,
    resource_ttl: Annotated[
        float,
        typer.Option(
            "--resource-ttl",
            metavar="SECONDS",
            envvar="HFI_RESOURCE_TTL",
            help="Without word from us for so long, an Envoy drops the filter itself; 0: never.",
            rich_help_panel=FILTER,
        ),
    ] = 0.0,
    probe_path: Annotated[
        list[str] | None,
        typer.Option(
            "--probe-path",
            metavar="PATH",
            envvar="HFI_PROBE_PATH",
            help="A health check's path, never touched; several times.",
            rich_help_panel=FILTER,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert", metavar="PEM", envvar="HFI_TLS_CERT", help="Our certificate chain.", rich_help_panel=TLS
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option("--tls-key", metavar="PEM", envvar="HFI_TLS_KEY", help="Its key.", rich_help_panel=TLS),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(
            "--client-ca",
            metavar="PEM",
            envvar="HFI_CLIENT_CA",
            help="Clients need a certificate signed by one of these.",
            rich_help_panel=TLS,
        ),
    ] = None,
    node_pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--node-pattern",
            metavar="NAME -> ID",
            help="How a node's id follows from its certificate; several times. Else the id is a DNS name or URI in it.",
            rich_help_panel=TLS,
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="HFI_INSECURE",
            help="Listen in plaintext beyond this machine, knowingly.",
            rich_help_panel=TLS,
        ),
    ] = False,
    max_streams: Annotated[
        int,
        typer.Option(
            "--max-streams", min=1, envvar="HFI_MAX_STREAMS", help="Of HTTP and of xDS each.", rich_help_panel=LIMITS
        ),
    ] = 10_000,
    max_node_streams: Annotated[
        int,
        typer.Option(
            "--max-node-streams", min=1, envvar="HFI_MAX_NODE_STREAMS", help="Of one node id.", rich_help_panel=LIMITS
        ),
    ] = 32,
    max_message: Annotated[
        int,
        typer.Option(
            "--max-message",
            metavar="BYTES",
            min=1 << 17,
            max=1 << 30,
            envvar="HFI_MAX_MESSAGE",
            help="What a client of xDS may send at once.",
            rich_help_panel=LIMITS,
        ),
    ] = 4 << 20,
    write_timeout: Annotated[
        float,
        typer.Option(
            "--write-timeout",
            metavar="SECONDS",
            min=0.1,
            max=3600,
            envvar="HFI_WRITE_TIMEOUT",
            help="A client that takes nothing for so long loses its connection.",
            rich_help_panel=LIMITS,
        ),
    ] = 20.0,
    log_level: Annotated[
        LogLevel, typer.Option("--log-level", envvar="HFI_LOG_LEVEL", rich_help_panel=LOGS)
    ] = LogLevel.info,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", envvar="HFI_LOG_FORMAT", rich_help_panel=LOGS)
    ] = LogFormat.text,
) -> None:
    """Run the control plane: REST, SSE and xDS, until SIGINT or SIGTERM.

    When it serves it prints one line, "listening http=HOST:PORT xds=HOST:PORT store=KIND"; port 0 lets the system
    choose.
    """
    import os

    from hfi_cli import logs, signals
    from hfi_cli.settings import Limits, ServeSettings, StoreSettings, TlsSettings, filter_settings
    from hfi_core.address import Address

    with errors_to_exit_codes():
        settings = ServeSettings(
            http=Address.parse(http),
            xds=Address.parse(xds),
            store=StoreSettings.of(
                store,
                data_dir,
                etcd or (),
                ca=etcd_ca,
                cert=etcd_cert,
                key=etcd_key,
                user=etcd_user,
                password=os.environ.get("HFI_ETCD_PASSWORD"),
            ),
            filter=filter_settings(max_staleness, probe_path or ()),
            insecure=insecure,
            tls=TlsSettings.of(tls_cert, tls_key, client_ca, node_pattern or ()),
            limits=Limits(
                streams=max_streams,
                node_streams=max_node_streams,
                message_bytes=max_message,
                write_timeout=write_timeout,
            ),
            resource_ttl_seconds=resource_ttl,
        )
        logs.configure(log_level, log_format)
        signals.run(_serve(settings))


async def _serve(settings: ServeSettings) -> None:
    from hfi_cli import collector
    from hfi_cli.runtime import ControlPlane, listening_line

    async with ControlPlane(settings) as plane:
        collector.settle()
        print_raw(listening_line(plane, settings.store.kind))
        await plane.serve()
