"""One connection to a control plane, and what its answers mean when they are no success. httpx ends here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from hfi_cli.errors import NotReachable, Refused
from hfi_cli.tls import ClientTls
from hfi_core.address import Address
from hfi_core.errors import SettingsInvalid

#: How many items a page has.
PAGE = 500
#: The server sends a comment every 15 s; a stream that is silent for longer than this is dead.
STREAM_SILENCE_SECONDS = 60.0


class HttpConnection:
    """Asks, and raises :class:`~hfi_cli.errors.Refused` and :class:`~hfi_cli.errors.NotReachable`.

    Raises :class:`~hfi_core.errors.SettingsInvalid` for an address that is no HTTP URL.
    """

    def __init__(self, server: str, timeout: float, transport: httpx.BaseTransport | None, tls: ClientTls) -> None:
        host = _host(server)
        self._tls = tls
        encrypted = urlsplit(server).scheme == "https"
        if tls and not encrypted:
            raise SettingsInvalid(
                f"the server {server!r} is spoken to in plaintext, and there is a CA or a certificate for it: write "
                "https://HOST:PORT, or leave --ca, --cert and --key (HFI_CA, …) out"
            )
        self.server = server.rstrip("/")
        self._http = httpx.Client(
            base_url=self.server,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            transport=transport,
            verify=tls.context() if encrypted else True,
            # A proxy of the environment cannot reach this machine's loopback.
            trust_env=not Address(host, 0).is_loopback,
        )

    def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """One request, and its answer when that is a success of HFI's.

        ``document`` goes as JSON; ``content`` goes as it is, and ``headers`` say what it is.
        """
        asked = dict(headers or {})
        if document is not None:
            # ASCII only: httpx' own JSON cannot carry half a surrogate pair, which YAML can write.
            content = json.dumps(document).encode()
            asked["content-type"] = "application/json"
        try:
            response = self._http.request(method, path, content=content, params=params, headers=asked)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._check(response)
        return response

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The pages of a list; each is asked for when it is needed."""
        after: dict[str, str] = {}
        while True:
            page = read_json(self.ask("GET", path, params={**params, "limit": PAGE, **after}))
            yield page
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    @contextmanager
    def events(self, path: str, headers: Mapping[str, str]) -> Iterator[Iterator[ServerSentEvent]]:
        """An event stream, until either side ends it."""
        asked = {**headers, "accept": "text/event-stream", "cache-control": "no-store"}
        timeout = httpx.Timeout(5.0, read=STREAM_SILENCE_SECONDS)
        try:
            with self._http.stream("GET", path, headers=asked, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                self._check(response)
                yield EventSource(response).iter_sse()
        except SSEError as error:
            raise NotReachable(f"{self.server} answers, but not as HFI does: {error}") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _check(self, response: httpx.Response) -> None:
        """Raise what the response means, when it is no success of HFI's."""
        kind = response.headers.get("content-type", "").partition(";")[0]
        if response.is_success and kind in ("application/json", "application/wasm", "text/event-stream"):
            return
        if response.is_error and kind == "application/problem+json":
            raise Refused(response.status_code, read_json(response))
        raise NotReachable(
            f"{self.server} answers, but not as HFI does: HTTP {response.status_code} with {kind or 'no content type'}"
        )

    def _unreachable(self, error: httpx.HTTPError) -> NotReachable:
        what = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
        if self.server.startswith("https:") and isinstance(error, httpx.ReadError | httpx.RemoteProtocolError):
            # A server that is not content with the client's certificate says so after the handshake, or just goes.
            what += f"; does it want {'another' if self._tls.cert else 'a'} client certificate (--cert, --key)?"
        elif self.server.startswith("http:") and isinstance(error, httpx.RemoteProtocolError):
            what += "; does it speak TLS (https://)?"
        return NotReachable(f"no HFI server can be reached at {self.server}: {what}")


def _host(server: str) -> str:
    try:
        parts = urlsplit(server)
        valid = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsInvalid(
            f"the server {server!r} is not an HTTP address; write http://HOST:PORT or https://HOST:PORT"
        )
    return str(parts.hostname)


def read_json(response: httpx.Response) -> Any:
    """The body of an answer."""
    try:
        return response.json()
    except ValueError as error:
        raise NotReachable(f"{response.url} answers, but not as HFI does: {error}") from error
