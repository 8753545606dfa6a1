"""``hfi-cli demo``: everything at once, on this machine, with real parts."""

from __future__ import annotations

from typing import Annotated

import typer

from hfi_cli.session import errors_to_exit_codes


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="End by itself; fail when what was measured is not what was asked for.")
    ] = False,
) -> None:
    """See faults happen: an etcd, the control plane, a sample service and a real Envoy, before and after a policy."""
    from hfi_cli import signals
    from hfi_cli.demo.run import run

    with errors_to_exit_codes():
        signals.run(run(check=check))
