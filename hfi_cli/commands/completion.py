"""What the shell is offered to complete. Silent whatever happens: a completion must not print an error."""

from __future__ import annotations

import os

from hfi_core.errors import HfiError


def policy_names(incomplete: str) -> list[str]:
    """The names of policies on the server of the environment that begin like this."""
    from hfi_cli.client import DEFAULT_SERVER, HfiClient

    try:
        with HfiClient(os.environ.get("HFI_SERVER", DEFAULT_SERVER), timeout=1.0) as client:
            names = (str(policy["metadata"]["name"]) for policy in client.list())
            return [name for name in names if name.startswith(incomplete)]
    except HfiError:
        return []
