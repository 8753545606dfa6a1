"""What can go wrong for somebody who talks to a control plane, and the exit code that each means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from http import HTTPStatus
from typing import Any

from hfi_core.errors import HfiError, Problem


class ExitCode(IntEnum):
    """What ``hfi-cli`` answers to a script. An API."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_REACHABLE = 3


class ClientError(HfiError):
    """The root of what :class:`hfi_cli.client.HfiClient` raises."""


class NotReachable(ClientError):
    """No HFI server answered there: no connection, no answer in time, or an answer that is not HFI's."""


class Refused(ClientError):
    """The server said no. Carries its problem document (RFC 9457).

    ``kind`` is its ``type`` without HFI's own prefix, such as ``version-conflict``; ``problems`` are the places in
    the policy that it complains about; ``members`` is the whole problem document.
    """

    def __init__(self, status: int, members: Mapping[str, Any]) -> None:
        self.status = status
        self.members = dict(members)
        self.kind = str(members.get("type", "about:blank")).removeprefix("urn:hfi:problem:")
        self.title = str(members.get("title", f"HTTP {status}"))
        self.detail = str(members.get("detail", ""))
        self.problems: Sequence[Problem] = tuple(
            Problem(str(item.get("pointer", "")), str(item.get("detail", "")))
            for item in members.get("errors", ())
            if isinstance(item, Mapping)
        )
        # Of what is not there, both say that it is not, and the detail says what.
        alone = self.detail if status == HTTPStatus.NOT_FOUND else ""
        super().__init__(alone or (f"{self.title}: {self.detail}" if self.detail else self.title))


class NotDone(HfiError):
    """What was asked for was begun and has not come about: a wait that ran out, a demo that measured otherwise."""


class UsageError(HfiError):
    """The command line, or a file that it names, does not make sense. Nothing was asked of a server."""
