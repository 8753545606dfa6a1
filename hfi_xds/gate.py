"""Who may have a stream, how one ends, and the end of all streams.

gRPC ends what is open by cancelling it, which prints tracebacks and tells the client little. So streams are asked to
end first: each says how it is woken for that.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import grpc

from hfi_xds.errors import StreamRefused
from hfi_xds.wakes import Wake, Wakes


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ends. ``reason`` is its label in metrics; empty for an end that is no refusal."""

    code: grpc.StatusCode
    detail: str = ""
    reason: str = ""


DONE = End(grpc.StatusCode.OK)
STOPPING = End(grpc.StatusCode.UNAVAILABLE, "this control plane is stopping; connect to another, or again")
FULL = End(grpc.StatusCode.RESOURCE_EXHAUSTED, "this control plane has as many streams as it may have", "limit")
NOT_READY = End(grpc.StatusCode.UNAVAILABLE, "this control plane has nothing to serve yet", "not_ready")
SILENT = End(grpc.StatusCode.DEADLINE_EXCEEDED, "the first message did not come in time", "silent")
#: Counted when it is noticed, not when it has come to an end.
SLOW = End(grpc.StatusCode.DEADLINE_EXCEEDED, "a response was not taken in time")
UNREADABLE = End(grpc.StatusCode.INVALID_ARGUMENT, "a message that cannot be read", "invalid")


def refused_by(refused: StreamRefused) -> End:
    """The end of a stream that is refused."""
    return End(grpc.StatusCode[refused.code], refused.detail, refused.reason)


class Gate:
    """Counts the streams of one server. ``limit``: of all kinds together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._wakes = Wakes()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server is stopping: a stream that is woken ends."""
        return self._closed

    def refusal(self) -> End | None:
        """Why no stream can begin now, or None."""
        if self._closed:
            return STOPPING
        return FULL if len(self._wakes) >= self._limit else None

    def holding(self, wake: Wake) -> AbstractContextManager[None]:
        """A stream, for as long as the block runs; ``wake`` is called when it is to end."""
        return self._wakes.holding(wake)

    def close(self) -> None:
        """Ask every stream to end, and let no other begin."""
        self._closed = True
        self._wakes.set()
