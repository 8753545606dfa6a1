"""What the shell is offered to complete. Silent whatever happens: a completion must not print an error."""

from __future__ import annotations

import os

from hfi_core.errors import HfiError


def policy_names(incomplete: str) -> list[str]:
    """The names of policies on the server of the environment that begin like this."""
    from hfi_cli.client import DEFAULT_SERVER, HfiClient
    from hfi_cli.tls import ClientTls

    try:
        server, tls = os.environ.get("HFI_SERVER", DEFAULT_SERVER), ClientTls.of_environment(os.environ)
        with HfiClient(server, timeout=1.0, tls=tls) as client:
            names = (str(policy["metadata"]["name"]) for policy in client.list())
            return [name for name in names if name.startswith(incomplete)]
    except HfiError:
        return []
