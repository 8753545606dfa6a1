"""Envoy bootstraps with HFI in them, as commented YAML. Pure: addresses in, text out.

The text is written and not dumped: a bootstrap is read, copied and changed by people, so each choice that is not
obvious has its reason beside it.
"""

from hfi_cli.bootstrap.minimal import minimal
from hfi_cli.bootstrap.settings import ClientTls, Sidecar
from hfi_cli.bootstrap.whole import sidecar, snippet

__all__ = ["ClientTls", "Sidecar", "minimal", "sidecar", "snippet"]
