"""Writing to clients, and what becomes of one that does not take what is written.

A write that has begun cannot be taken back, and until it is over gRPC can send no status either (tried with grpcio
1.85: TOO_MANY_OPERATIONS, and the call is never ended). So the connection of a client that does not take a response is
cut. Where streams of other nodes share it, the client is waited for, with its place and that one response as all that
it costs; and whatever becomes of it, its stream ends then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from grpc import aio

from hfi_xds.admission import Admission, Caller
from hfi_xds.metrics import XdsMetrics

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Write:
    """One response on its way. ``dropping``: what is done about it since it is late."""

    caller: Caller
    name: str
    dropping: asyncio.Task[None] | None = None


class Patience:
    """That of one server: ``seconds`` for each response.

    ``hang_up`` cuts the connection from an address, as gRPC writes it, and answers whether there was one.
    """

    def __init__(
        self, seconds: float, admission: Admission, metrics: XdsMetrics, hang_up: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._seconds = seconds
        self._admission = admission
        self._metrics = metrics
        self._hang_up = hang_up
        #: Since when, the oldest first. One timer watches over the oldest: hardly one write is late, and each would
        #: pay for a timer of its own.
        self._writing: dict[_Write, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def taken(self, write: Awaitable[None], caller: Caller, name: str) -> bool:
        """Wait until the client has taken it, and tell whether that was in time; if not, its stream has to end.

        ``name`` is what it is called in the log.
        """
        this = _Write(caller, name)
        self._writing[this] = asyncio.get_running_loop().time()
        if self._timer is None:
            self._watch()
        try:
            await write
        except aio.InternalError as gone:
            # The client went in the middle of it. gRPC is about to cancel us, and is told nothing new.
            raise asyncio.CancelledError from gone
        finally:
            self._writing.pop(this, None)
            if this.dropping is not None:
                this.dropping.cancel()
        return this.dropping is None

    def _watch(self) -> None:
        if self._writing:
            oldest = next(iter(self._writing.values()))
            self._timer = asyncio.get_running_loop().call_at(oldest + self._seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        over = asyncio.get_running_loop().time() - self._seconds
        for write in [write for write, since in self._writing.items() if since <= over]:
            del self._writing[write]
            self._metrics.rejected_streams.labels("slow").inc()
            write.dropping = asyncio.create_task(self._drop(write.caller, write.name))
        self._watch()

    async def _drop(self, caller: Caller, name: str) -> None:
        """Cut its connection, if nobody else's streams are on that."""
        cut = self._admission.alone(caller)
        # Told before: once it is cut, gRPC cancels us.
        log.warning(
            "client %r has not taken a response for %g s; %s",
            name,
            self._seconds,
            "its connection is cut" if cut else "its stream ends when it has, for others share its connection",
        )
        if cut and not await self._hang_up(caller.address):
            log.warning("the connection of client %r from %s was not found", name, caller.address)
