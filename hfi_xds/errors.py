"""Why a stream is refused, in the terms of the protocol."""

from __future__ import annotations

from typing import Literal

from hfi_core.errors import HfiError

#: Names of gRPC status codes. Names, so that the sessions need not know gRPC.
RefusalCode = Literal["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "PERMISSION_DENIED"]


class StreamRefused(HfiError):
    """A client broke the protocol, is not who it says, or asked for more than it may; its stream ends with ``code``.

    ``reason`` is its label in metrics.
    """

    def __init__(self, code: RefusalCode, detail: str, reason: str = "invalid") -> None:
        self.code: RefusalCode = code
        self.detail = detail
        self.reason = reason
        super().__init__(f"{code}: {detail}")
