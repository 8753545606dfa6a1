"""The client's part about the sidecar documents of clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from hfi_cli.connection import HttpConnection, read_json
from hfi_core.errors import SettingsInvalid


class SidecarCalls:
    """A part of :class:`~hfi_cli.client.HfiClient`, and its errors are those."""

    _connection: HttpConnection

    def apply_sidecar(self, document: Any, *, dry_run: bool = False) -> dict[str, Any]:
        """Create or update the sidecar document of a cluster; answers it as stored."""
        params = {"dryRun": "true"} if dry_run else {}
        return dict(read_json(self._connection.ask("POST", "/v1/sidecars", document, params=params)))

    def sidecars(self) -> Sequence[dict[str, Any]]:
        """Every sidecar document, by its cluster's name."""
        return tuple(read_json(self._connection.ask("GET", "/v1/sidecars"))["items"])

    def sidecar(self, cluster: str) -> dict[str, Any]:
        """The sidecar document of a cluster."""
        return dict(read_json(self._connection.ask("GET", _sidecar(cluster))))

    def delete_sidecar(self, cluster: str) -> str:
        """Remove the sidecar document of a cluster, and answer the version from which on it is gone."""
        return str(read_json(self._connection.ask("DELETE", _sidecar(cluster)))["version"])


def _sidecar(cluster: str) -> str:
    if not cluster:
        raise SettingsInvalid("a cluster has a name of at least one character")
    return f"/v1/sidecars/{quote(cluster, safe='')}"
