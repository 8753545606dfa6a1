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

from grpc import aio

from hfi_xds.admission import Admission, Caller
from hfi_xds.metrics import XdsMetrics

log = logging.getLogger(__name__)


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

    async def taken(self, write: Awaitable[None], caller: Caller, name: str) -> bool:
        """Wait until the client has taken it, and tell whether that was in time; if not, its stream has to end.

        ``name`` is what it is called in the log.
        """
        dropping: asyncio.Task[None] | None = None

        def late() -> None:
            nonlocal dropping
            self._metrics.rejected_streams.labels("slow").inc()
            dropping = asyncio.create_task(self._drop(caller, name))

        # A timer, and no task for the write: hardly one is late, and each would pay for it.
        timer = asyncio.get_running_loop().call_later(self._seconds, late)
        try:
            await write
        except aio.InternalError as gone:
            # The client went in the middle of it. gRPC is about to cancel us, and is told nothing new.
            raise asyncio.CancelledError from gone
        finally:
            timer.cancel()
            if dropping is not None:
                dropping.cancel()
        return dropping is None

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
