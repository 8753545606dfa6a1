"""Serves the status service: each request is answered with what is known at that moment, of the nodes of all replicas.

A stream of it costs what a stream of discovery may cost: it counts towards its node's, and has as long to take an
answer. Who does not say which node it is counts by where it comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack

from google.protobuf.message import DecodeError

from hfi_xds import client_status, pb
from hfi_xds.admission import Caller
from hfi_xds.errors import StreamRefused
from hfi_xds.gate import DONE, SILENT, SLOW, STOPPING, UNREADABLE, End, refused_by
from hfi_xds.stream import Shared

Write = Callable[[pb.ClientStatusResponse], Awaitable[None]]


async def stream(requests: AsyncIterator[pb.ClientStatusRequest], write: Write, caller: Caller, shared: Shared) -> End:
    """Answer each request of a stream, until the client or the server ends it."""
    wake = asyncio.Event()
    timeout: float | None = shared.settings.hello_timeout_seconds
    with shared.gate.holding(wake.set), ExitStack() as held:
        waking = asyncio.create_task(wake.wait())
        try:
            while not shared.gate.closed:
                reading = asyncio.ensure_future(anext(requests, None))
                try:
                    await asyncio.wait({reading, waking}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                    if not reading.done():
                        return STOPPING if shared.gate.closed else SILENT
                    request = reading.result()
                finally:
                    reading.cancel()
                if request is None:
                    return DONE
                if timeout is not None:
                    held.enter_context(shared.admission.holding(caller, request.node.id or None))
                    timeout = None
                answer = _answer(request, caller, shared)
                if not await shared.patience.taken(write(answer), caller, request.node.id or caller.address):
                    return SLOW
            return STOPPING
        except StreamRefused as refused:
            return refused_by(refused)
        except DecodeError:
            return UNREADABLE
        finally:
            waking.cancel()


def fetch(request: pb.ClientStatusRequest, caller: Caller, shared: Shared) -> pb.ClientStatusResponse | End:
    """The answer to one request, or why there is none."""
    try:
        return _answer(request, caller, shared)
    except StreamRefused as refused:
        return refused_by(refused)


def _answer(request: pb.ClientStatusRequest, caller: Caller, shared: Shared) -> pb.ClientStatusResponse:
    # Who asks need not say which node it is; but if it does, it has to be that node.
    if request.node.id:
        shared.admission.admit(caller, request.node.id)
    return client_status.answer(request, shared.fleet())
