"""``GET /v1/config/stream``: the rules, as server-sent events.

Two ways to read, one order of events. Endless, for browsers and tools: through sse-starlette, which sends
heartbeats and notices a client that has gone. ``?once=true&wait=25s``, for Envoy's filter, which is handed a
response only when it is complete: the request is parked until there is something newer, and answered with
that one event, or with a comment when the time is up. A parked request is a plain response: at 2,000 of them
that costs half the memory of as many endless streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from hfi_core.snapshot import Snapshot
from hfi_core.tls import NodeNames
from hfi_sse import params, tls
from hfi_sse.errors import NotReady
from hfi_sse.hub import Outcome, StreamHub, until_gone
from hfi_sse.identity import Asker, asker
from hfi_sse.presence import Presence
from hfi_sse.readers import ReaderLimit
from hfi_sse.services import HttpSettings
from hfi_sse.views import Position, Standing

MEDIA_TYPE = "text/event-stream"
NOTHING_NEW = b": nothing new\n\n"
STOPPING = "this replica is stopping"


class StreamRoute:
    """The resource. Parameters that are not known are ignored here: a filter may be newer than the control plane."""

    def __init__(
        self,
        hub: StreamHub,
        presence: Presence,
        settings: HttpSettings,
        limit: ReaderLimit,
        nodes: NodeNames | None = None,
    ) -> None:
        self._hub = hub
        self._presence = presence
        self._settings = settings
        self._limit = limit
        self._nodes = nodes

    async def get(self, request: Request) -> Response:
        """Endless, or one event."""
        once = params.flag(request.query_params, "once")
        who = asker(request)
        if self._nodes is not None and who.node is not None:
            self._nodes.admit(tls.peer(request), who.node.id)
        self._limit.check(who.node_id)
        if self._hub.stopping:
            raise NotReady([STOPPING])
        if not once:
            return self._endless(who)
        longest = self._settings.max_wait_seconds
        wait = params.seconds(request.query_params, "wait", self._settings.default_wait_seconds, longest)
        if request.method == "HEAD":
            return self._answer(b"")
        return await self._poll(request, who, wait)

    # -- once -----------------------------------------------------------------------------------------------

    async def _poll(self, request: Request, who: Asker, wait: float) -> Response:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        gone: asyncio.Future[None] | None = None
        with (
            self._limit.holding(who.node_id),
            self._hub.reading("once"),
            self._presence.polling(who.node, who.position) as parked,
        ):
            try:
                if self._hub.standing(who.audience, who.position) is Standing.AHEAD:
                    await self._hub.catch_up(who.position)
                while True:
                    if self._hub.standing(who.audience, who.position) is Standing.BEHIND:
                        _, event = self._hub.event(who.audience, "once")
                        return self._answer(event)
                    remaining = deadline - loop.time()
                    if remaining <= 0:
                        parked.confirmed = self._hub.standing(who.audience, who.position) is Standing.CURRENT
                        return self._answer(NOTHING_NEW)
                    gone = gone or asyncio.ensure_future(until_gone(request.receive))
                    outcome = await self._hub.wait(
                        who.audience, who.position, within=remaining, gone=gone, parked=parked.joins
                    )
                    if outcome is Outcome.GONE:
                        return Response()  # Nobody is there to read it.
                    if outcome is Outcome.STOPPING:
                        return self._answer(NOTHING_NEW)
            finally:
                if gone is not None:
                    gone.cancel()

    def _answer(self, body: bytes) -> Response:
        snapshot = self._hub.snapshot
        if snapshot is None:
            raise NotReady(["the store has not been read yet"])
        return Response(body, headers=_headers(snapshot, self._hub.cut_off_ms), media_type=MEDIA_TYPE)

    # -- endless --------------------------------------------------------------------------------------------

    def _endless(self, who: Asker) -> Response:
        snapshot = self._hub.snapshot
        return EventSourceResponse(
            self._events(who),
            headers=None if snapshot is None else _headers(snapshot, self._hub.cut_off_ms),
            ping=self._settings.heartbeat_seconds,
            ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep="\n"),
            sep="\n",
        )

    async def _events(self, who: Asker) -> AsyncIterator[bytes]:
        """The newest snapshot each time this reader is behind. What a slow reader misses is skipped."""
        hub, position = self._hub, who.position
        with self._limit.holding(who.node_id), hub.reading("endless"):
            while not hub.stopping:
                if hub.standing(who.audience, position) is Standing.BEHIND:
                    snapshot, event = hub.event(who.audience, "endless")
                    position = Position(snapshot.version, snapshot.epoch)
                    yield event
                    # The server takes a message and waits for a full buffer only before the next one. Without this
                    # empty one the next event would be built, and grow old, while the reader still takes this one.
                    yield b""
                else:
                    await hub.wait(who.audience, position)


def _headers(snapshot: Snapshot, cut_off_ms: int) -> dict[str, str]:
    return {
        "cache-control": "no-store",
        "x-hfi-version": str(snapshot.version),
        "x-hfi-epoch": snapshot.epoch,
        "x-hfi-age-ms": str(cut_off_ms),
    }
