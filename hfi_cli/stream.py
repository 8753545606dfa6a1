"""The endless stream of rules, made anew when it is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping

import httpx

from hfi_cli.answers import Update
from hfi_cli.connection import HttpConnection
from hfi_cli.errors import NotReachable, Refused
from hfi_core.backoff import Backoff

RECONNECT_SECONDS = (0.1, 5.0)
_PATH = "/v1/config/stream"


def updates(
    connection: HttpConnection, asking: Mapping[str, str], lost: Callable[[NotReachable], None] | None
) -> Iterator[Update]:
    """Every event, over as many connections as it takes. ``asking`` are the headers of the first request.

    A connection that is lost is made again, with backoff, and goes on where it was; ``lost`` is told each time. Only
    when there is not even a first event is :class:`~hfi_cli.errors.NotReachable` raised.
    """
    headers = dict(asking)
    read_once = False
    backoff = Backoff(*RECONNECT_SECONDS)
    while True:
        try:
            with connection.events(_PATH, headers) as events:
                for event in events:
                    if event.event != "update":
                        continue
                    update = _update(event.data)
                    read_once = True
                    headers |= {"last-event-id": update.version, "x-hfi-epoch": update.epoch}
                    backoff.reset()
                    yield update
            raise NotReachable(f"{connection.server} has ended the stream")
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
        time.sleep(backoff.next())


def _update(data: str) -> Update:
    try:
        value = json.loads(data)
        return Update(value["version"], value["epoch"], value["server_time_ms"], value["rules"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotReachable(f"the stream holds an event that is not HFI's: {error!r}") from error
