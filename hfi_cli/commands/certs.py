"""``hfi-cli certs``: certificates for trying out TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfi_cli.console import print_raw
from hfi_cli.session import errors_to_exit_codes


def certs(
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where they are put.")] = Path("hfi-certs"),
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="NAME|IP",
            help="How the control plane is reached; several times. [default: localhost, 127.0.0.1 and ::1]",
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="ID", help="A proxy's node id: one certificate each; several times."),
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=1, max=825, help="How long they are good; the authority ten times as long.")
    ] = 30,
) -> None:
    """Make an authority and certificates, for trying out TLS: for the control plane, for hfi-cli, and for proxies.

    The authority in the directory is used again, everything else is made anew. Prints the certificates' files; each
    has its key beside it. Not for production: the authority's key lies there unprotected.
    """
    from hfi_cli.certs import directory as certificates
    from hfi_core.tls.material import utc_now

    with errors_to_exit_codes():
        hosts = host or ["localhost", "127.0.0.1", "::1"]
        for path in certificates.make(directory, hosts, node or (), utc_now(), days):
            print_raw(str(path))
