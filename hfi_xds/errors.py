"""Why a stream is refused, in the terms of the protocol."""

from __future__ import annotations

from typing import Literal

from hfi_core.errors import HfiError

#: Names of gRPC status codes. Names, so that the sessions need not know gRPC.
RefusalCode = Literal["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"]


class StreamRefused(HfiError):
    """A client broke the protocol, or asked for more than one stream may; its stream ends with ``code``."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        self.code: RefusalCode = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")
