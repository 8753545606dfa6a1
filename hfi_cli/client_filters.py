"""The client's part about filter modules: the catalogue and the rollout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

import httpx

from hfi_cli.answers import FilterModule, PushedFilter, Rollout
from hfi_cli.connection import HttpConnection, read_json
from hfi_core.errors import SettingsInvalid
from hfi_core.filters.manifest import version_problem

_ROLLOUT = "/v1/filters/rollout"


class FilterCalls:
    """A part of :class:`~hfi_cli.client.HfiClient`, and its errors are those."""

    _connection: HttpConnection

    def push_filter(self, version: str, code: bytes, note: str = "") -> PushedFilter:
        """Take a module into the catalogue. The server looks into it first; the same module again is fine."""
        response = self._connection.ask(
            "PUT",
            _filter(version),
            params={"note": note} if note else {},
            headers={"content-type": "application/wasm"},
            content=code,
        )
        return {"module": read_json(response), "created": response.status_code == httpx.codes.CREATED}

    def filters(self) -> Sequence[FilterModule]:
        """The modules of the catalogue, the newest push first."""
        return cast(Sequence[FilterModule], read_json(self._connection.ask("GET", "/v1/filters"))["items"])

    def filter(self, version: str) -> FilterModule:
        """One module of the catalogue."""
        return cast(FilterModule, read_json(self._connection.ask("GET", _filter(version))))

    def filter_code(self, version: str) -> bytes:
        """The bytes of one module."""
        return self._connection.ask("GET", _filter(version), headers={"accept": "application/wasm"}).content

    def delete_filter(self, version: str, *, digest: str | None = None) -> FilterModule:
        """Take a module that no proxies run out of the catalogue; answers what it was. ``digest``: only that one."""
        headers = {} if digest is None else {"if-match": f'"{digest}"'}
        return cast(FilterModule, read_json(self._connection.ask("DELETE", _filter(version), headers=headers)))

    def rollout(self) -> Rollout:
        """Which nodes run which module."""
        return cast(Rollout, read_json(self._connection.ask("GET", _ROLLOUT)))

    def start_rollout(
        self,
        version: str,
        *,
        share: float | None = None,
        selector: Mapping[str, Any] | None = None,
        watch_seconds: int | None = None,
        max_errors: int | None = None,
    ) -> Rollout:
        """Have ``share`` percent of the nodes, and those that ``selector`` covers, run that module.

        Each is watched for ``watch_seconds``, and may have ``max_errors`` errors more than others by then.
        """
        body = {
            "version": version,
            "share": share or None,
            "selector": selector,
            "watchSeconds": watch_seconds,
            "maxErrors": max_errors,
        }
        return self._change_rollout("", body)

    def advance_rollout(self, share: float | None = None, *, resume: bool = False, unwatched: bool = False) -> Rollout:
        """To that share, or the next step; from 100 % to the end, and ``unwatched`` before the watch there is over.

        ``resume`` what is paused.
        """
        body = {"share": share, "resume": resume or None, "unwatched": unwatched or None}
        return self._change_rollout("/advance", body)

    def pause_rollout(self) -> Rollout:
        """Let nobody advance it."""
        return self._change_rollout("/pause", {})

    def roll_back(self, reason: str | None = None) -> Rollout:
        """Back to the stable module."""
        return self._change_rollout("/rollback", {"reason": reason})

    def _change_rollout(self, action: str, body: Mapping[str, Any]) -> Rollout:
        given = {key: value for key, value in body.items() if value is not None}
        return cast(Rollout, read_json(self._connection.ask("POST", _ROLLOUT + action, given)))


def _filter(version: str) -> str:
    if problem := version_problem(version):
        raise SettingsInvalid(problem)
    return f"/v1/filters/{quote(version, safe='')}"
