"""The typed client of HFI's REST and SSE API.

    with HfiClient("http://127.0.0.1:8080") as hfi:
        hfi.apply(yaml.safe_load(text))
        for update in hfi.stream():
            print(update.version, len(update.rules))

Every method raises :class:`~hfi_cli.errors.Refused` when the server says no, and
:class:`~hfi_cli.errors.NotReachable` when none answers. httpx' own errors do not come out of here.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import httpx
from httpx_sse import EventSource, SSEError

from hfi_cli.address import Address
from hfi_cli.answers import Applied, Explanation, Health, Metrics, PolicyDocument, ProxyList, Update
from hfi_cli.errors import NotReachable, Refused
from hfi_core.errors import SettingsInvalid

DEFAULT_SERVER = "http://127.0.0.1:8080"
PAGE = 500
#: The server sends a comment every 15 s; a stream that is silent for longer than this is dead.
STREAM_SILENCE_SECONDS = 60.0
RECONNECT_SECONDS = (0.1, 5.0)


class HfiClient:
    """A connection to one control plane. Not for several threads at once.

    ``server`` is its HTTP address, ``timeout`` seconds for any one answer, and ``transport`` one of httpx'
    transports (for tests, or an ASGI application in this process). Raises
    :class:`~hfi_core.errors.SettingsInvalid` for an address that is no HTTP URL.
    """

    def __init__(
        self, server: str = DEFAULT_SERVER, *, timeout: float = 30.0, transport: httpx.BaseTransport | None = None
    ) -> None:
        host = _host(server)
        self._server = server.rstrip("/")
        self._http = httpx.Client(
            base_url=self._server,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            transport=transport,
            # A proxy of the environment cannot reach this machine's loopback.
            trust_env=not Address(host, 0).is_loopback,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections. Safe to call twice."""
        self._http.close()

    @property
    def server(self) -> str:
        """The address that this client talks to."""
        return self._server

    # -- policies -------------------------------------------------------------------------------------------

    def apply(self, document: Any, *, dry_run: bool = False) -> Applied:
        """Create or update a policy. ``metadata.version`` in the document is an optimistic lock.

        ``dry_run`` does everything but the write; the answer is what would have been stored.
        """
        response = self._ask("POST", "/v1/policies", document, params={"dryRun": "true"} if dry_run else {})
        return {"policy": _json(response), "created": response.status_code == httpx.codes.CREATED}

    def list(self, labels: Mapping[str, str] | None = None) -> Iterator[PolicyDocument]:
        """Every policy that has these labels, by name; further pages are asked for as they are needed."""
        wanted = [f"{key}={value}" for key, value in (labels or {}).items()]
        for page in self._pages("/v1/policies", {"label": wanted}):
            yield from page["items"]

    def get(self, name: str) -> PolicyDocument:
        """One policy."""
        return cast(PolicyDocument, _json(self._ask("GET", _policy(name))))

    def delete(self, name: str, *, expected: str | None = None, dry_run: bool = False) -> str:
        """Remove a policy, and answer the version from which on it is gone. ``expected`` is its version now."""
        headers = {} if expected is None else {"if-match": f'"{expected}"'}
        params = {"dryRun": "true"} if dry_run else {}
        return str(_json(self._ask("DELETE", _policy(name), params=params, headers=headers))["version"])

    # -- questions ------------------------------------------------------------------------------------------

    def explain(
        self,
        path: str,
        method: str = "GET",
        headers: Iterable[tuple[str, str]] = (),
        *,
        cluster: str | None = None,
        labels: Mapping[str, str] | None = None,
        policy: Any = None,
    ) -> Explanation:
        """Which rules would decide this request, by the engine that proxies run.

        ``cluster`` and ``labels`` say for which proxy; with neither, all rules are asked. ``policy`` is a document
        that is tried as if it were applied now, and not stored.
        """
        question = {
            "path": path,
            "method": method,
            "headers": [list(pair) for pair in headers],
            "cluster": cluster,
            "labels": None if labels is None else dict(labels),
            "policy": policy,
        }
        given = {key: value for key, value in question.items() if value is not None}
        return cast(Explanation, _json(self._ask("POST", "/v1/explain", given)))

    def proxies(self) -> ProxyList:
        """Every proxy that this replica knows. Each page is as of its own moment."""
        items: list[Any] = []
        page: dict[str, Any] = {}
        for page in self._pages("/v1/proxies", {}):
            items += page["items"]
        return cast(ProxyList, {**page, "items": items})

    def metrics(self) -> Metrics:
        """The filters' counters and the replica's state."""
        return cast(Metrics, _json(self._ask("GET", "/v1/metrics", headers={"accept": "application/json"})))

    def health(self, *, ready: bool = False) -> Health:
        """The replica's state. With ``ready``, a replica that cannot serve is :class:`~hfi_cli.errors.Refused`."""
        return cast(Health, _json(self._ask("GET", "/v1/health", params={"ready": "true"} if ready else {})))

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
        read_once = False
        pause, longest = RECONNECT_SECONDS
        while True:
            try:
                with self._events(headers) as events:
                    for event in events:
                        read_once = True
                        headers |= {"last-event-id": event.version, "x-hfi-epoch": event.epoch}
                        pause = RECONNECT_SECONDS[0]
                        yield event
                raise NotReachable(f"{self._server} has ended the stream")
            except NotReachable as error:
                if not read_once:
                    raise
                trouble = error
            except Refused as error:
                if not read_once or error.status < httpx.codes.INTERNAL_SERVER_ERROR:
                    raise
                trouble = NotReachable(str(error))  # A replica that is stopping, or has not read its store yet.
            if lost is not None:
                lost(trouble)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(longest, pause * 2)

    @contextmanager
    def _events(self, headers: Mapping[str, str]) -> Iterator[Iterator[Update]]:
        asked = {**headers, "accept": "text/event-stream", "cache-control": "no-store"}
        timeout = httpx.Timeout(5.0, read=STREAM_SILENCE_SECONDS)
        try:
            with self._http.stream("GET", "/v1/config/stream", headers=asked, timeout=timeout) as response:
                if response.is_error:
                    response.read()
                self._check(response)
                source = EventSource(response)
                yield (_update(event.data) for event in source.iter_sse() if event.event == "update")
        except SSEError as error:
            raise NotReachable(f"{self._server} answers, but not as HFI does: {error}") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    # -- HTTP -----------------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        asked = dict(headers or {})
        content = None
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

    def _pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = _json(self._ask("GET", path, params={**params, "limit": PAGE, **after}))
            yield page
            if page["next"] is None:
                return
            after = {"after": page["next"]}

    def _check(self, response: httpx.Response) -> None:
        """Raise what the response means, when it is no success of HFI's."""
        kind = response.headers.get("content-type", "").partition(";")[0]
        if response.is_success and kind in ("application/json", "text/event-stream"):
            return
        if response.is_error and kind == "application/problem+json":
            raise Refused(response.status_code, _json(response))
        raise NotReachable(
            f"{self._server} answers, but not as HFI does: HTTP {response.status_code} with {kind or 'no content type'}"
        )

    def _unreachable(self, error: httpx.HTTPError) -> NotReachable:
        what = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
        return NotReachable(f"no HFI server can be reached at {self._server}: {what}")


def _host(server: str) -> str:
    try:
        parts = urlsplit(server)
        valid = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsInvalid(f"the server {server!r} is not an HTTP address; write http://HOST:PORT")
    return str(parts.hostname)


def _policy(name: str) -> str:
    if not name:
        raise SettingsInvalid("a policy has a name of at least one character")
    return f"/v1/policies/{quote(name, safe='')}"


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise NotReachable(f"{response.url} answers, but not as HFI does: {error}") from error


def _update(data: str) -> Update:
    try:
        value = json.loads(data)
        return Update(value["version"], value["epoch"], value["server_time_ms"], value["rules"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotReachable(f"the stream holds an event that is not HFI's: {error!r}") from error
