"""The typed client of HFI's REST and SSE API.

    with HfiClient("http://127.0.0.1:8080") as hfi:
        hfi.apply(yaml.safe_load(text))
        for update in hfi.stream():
            print(update.version, len(update.rules))

Every method raises :class:`~hfi_cli.errors.Refused` when the server says no, and
:class:`~hfi_cli.errors.NotReachable` when none answers. httpx' own errors do not come out of here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, cast
from urllib.parse import quote

import httpx

from hfi_cli.answers import (
    Applied,
    Explanation,
    Health,
    Metrics,
    PolicyDocument,
    ProxyList,
    Update,
)
from hfi_cli.client_filters import FilterCalls
from hfi_cli.client_sidecars import SidecarCalls
from hfi_cli.connection import HttpConnection, read_json
from hfi_cli.errors import NotReachable
from hfi_cli.stream import updates
from hfi_cli.tls import ClientTls
from hfi_core.errors import SettingsInvalid

DEFAULT_SERVER = "http://127.0.0.1:8080"


class HfiClient(FilterCalls, SidecarCalls):
    """A connection to one control plane. Not for several threads at once.

    ``server`` is its HTTP address, ``timeout`` seconds for any one answer, and ``transport`` one of httpx'
    transports (for tests, or an ASGI application in this process). ``tls`` is for ``https://``. Raises
    :class:`~hfi_core.errors.SettingsInvalid` for an address that is no HTTP URL, and for files that are no good.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        tls: ClientTls | None = None,
    ) -> None:
        self._connection = HttpConnection(server, timeout, transport, tls or ClientTls())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        self._connection.close()

    @property
    def server(self) -> str:
        """The address that this client talks to."""
        return self._connection.server

    # -- policies -------------------------------------------------------------------------------------------

    def apply(self, document: Any, *, dry_run: bool = False) -> Applied:
        """Create or update a policy. ``metadata.version`` in the document is an optimistic lock.

        ``dry_run`` does everything but the write; the answer is what would have been stored.
        """
        response = self._connection.ask("POST", "/v1/policies", document, params={"dryRun": "true"} if dry_run else {})
        return {"policy": read_json(response), "created": response.status_code == httpx.codes.CREATED}

    def list(self, labels: Mapping[str, str] | None = None) -> Iterator[PolicyDocument]:
        """Every policy that has these labels, by name; further pages are asked for as they are needed."""
        wanted = [f"{key}={value}" for key, value in (labels or {}).items()]
        for page in self._connection.pages("/v1/policies", {"label": wanted}):
            yield from page["items"]

    def get(self, name: str) -> PolicyDocument:
        """One policy."""
        return cast(PolicyDocument, read_json(self._connection.ask("GET", _policy(name))))

    def delete(self, name: str, *, expected: str | None = None, dry_run: bool = False) -> str:
        """Remove a policy, and answer the version from which on it is gone. ``expected`` is its version now."""
        headers = {} if expected is None else {"if-match": f'"{expected}"'}
        params = {"dryRun": "true"} if dry_run else {}
        return str(read_json(self._connection.ask("DELETE", _policy(name), params=params, headers=headers))["version"])

    # -- questions ------------------------------------------------------------------------------------------

    def explain(
        self,
        path: str,
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        *,
        status: int | None = None,
        cluster: str | None = None,
        labels: Mapping[str, str] | None = None,
        policy: Any = None,
    ) -> Explanation:
        """Which rules would decide this request, by the engine that proxies run.

        ``status`` is that of the upstream's response, where some rule looks at it. ``cluster`` and ``labels`` say for
        which proxy; with neither, all rules are asked. ``policy`` is a document that is tried as if it were applied
        now, and not stored.
        """
        question = {
            "path": path,
            "method": method,
            "headers": [list(pair) for pair in headers],
            "status": status,
            "cluster": cluster,
            "labels": None if labels is None else dict(labels),
            "policy": policy,
        }
        given = {key: value for key, value in question.items() if value is not None}
        return cast(Explanation, read_json(self._connection.ask("POST", "/v1/explain", given)))

    def proxies(self) -> ProxyList:
        """Every proxy that this replica knows. Each page is as of its own moment."""
        items: list[Any] = []
        page: dict[str, Any] = {}
        for page in self._connection.pages("/v1/proxies", {}):
            items += page["items"]
        return cast(ProxyList, {**page, "items": items})

    def metrics(self) -> Metrics:
        """The filters' counters and the replica's state."""
        return cast(
            Metrics, read_json(self._connection.ask("GET", "/v1/metrics", headers={"accept": "application/json"}))
        )

    def health(self, *, ready: bool = False) -> Health:
        """The replica's state. With ``ready``, a replica that cannot serve is :class:`~hfi_cli.errors.Refused`."""
        return cast(
            Health, read_json(self._connection.ask("GET", "/v1/health", params={"ready": "true"} if ready else {}))
        )

    # -- the stream -----------------------------------------------------------------------------------------

    def stream(
        self,
        *,
        cluster: str | None = None,
        labels: Mapping[str, str] | None = None,
        lost: Callable[[NotReachable], None] | None = None,
    ) -> Iterator[Update]:
        """The rules as they are, and then again after each change; newest only. Does not end by itself.

        With ``cluster`` or ``labels``, what a proxy of these would get; otherwise every rule. A connection that is
        lost is made again, with backoff, and goes on where it was; ``lost`` is told each time. Only when
        there is not even a first event is :class:`~hfi_cli.errors.NotReachable` raised.
        """
        headers = {}
        if cluster is not None:
            headers["x-hfi-cluster"] = cluster
        if labels is not None:
            headers["x-hfi-labels"] = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        return updates(self._connection, headers, lost)


def _policy(name: str) -> str:
    if not name:
        raise SettingsInvalid("a policy has a name of at least one character")
    return f"/v1/policies/{quote(name, safe='')}"
