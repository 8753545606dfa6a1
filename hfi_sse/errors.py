"""What can be wrong with an HTTP request, beyond what :mod:`hfi_core.errors` knows."""

from __future__ import annotations

from collections.abc import Sequence

from hfi_core.errors import HfiError, Problem, RequestError


class ParameterInvalid(RequestError):
    """A query parameter, a header or a part of the path does not make sense. ``name`` says which."""

    def __init__(self, name: str, detail: str) -> None:
        self.name = name
        super().__init__(f"{name}: {detail}")


class BodyInvalid(RequestError):
    """A body that is no policy is not what it must be; carries every problem at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class BodyTooLarge(RequestError):
    """The body is longer than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the body is longer than {limit} bytes")


class MediaTypeUnsupported(RequestError):
    """The body is of a type that is not read here."""


class PreconditionFailed(RequestError):
    """The stored policy is not what ``If-Match`` asks for."""


class ProxyNotFound(RequestError):
    """No proxy of that node id is known to this replica."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        super().__init__(f"no proxy with the node id {node_id!r} is known to this replica")


class TooManyReaders(RequestError):
    """One node has as many requests for the stream as it may."""

    def __init__(self, node_id: str, limit: int) -> None:
        self.node_id = node_id
        super().__init__(
            f"node {node_id!r} has {limit} requests for the stream already; do several proxies have this id?"
        )


class NotReady(HfiError):
    """This replica cannot serve yet, or not any more. ``reasons`` says why, each in words."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))
