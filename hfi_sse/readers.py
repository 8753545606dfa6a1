"""How many may read the stream at once, in all and for each node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Counted

from hfi_sse.errors import NotReady, TooManyReaders

FULL = "this replica has as many readers as it may have"


class ReaderLimit:
    """``limit``: requests at once; ``node_limit``: of one node id. Refusals are counted in ``registry``."""

    def __init__(self, limit: int, node_limit: int, registry: CollectorRegistry) -> None:
        self._limit = limit
        self._node_limit = node_limit
        self._open = 0
        self._nodes: Counter[str] = Counter()
        self._refused = Counted(
            "hfi_stream_refused",
            "Requests for the stream that were refused, by reason.",
            ("reason",),
            registry=registry,
        )

    def check(self, node_id: str | None) -> None:
        """Raises :class:`NotReady` or :class:`TooManyReaders` when there is no room for another one."""
        if self._open >= self._limit:
            self._refused.labels("limit").inc()
            raise NotReady([FULL])
        if node_id is not None and self._nodes[node_id] >= self._node_limit:
            self._refused.labels("node_limit").inc()
            raise TooManyReaders(node_id, self._node_limit)

    @contextmanager
    def holding(self, node_id: str | None) -> Iterator[None]:
        """A reader, for as long as the block runs."""
        self._open += 1
        if node_id is not None:
            self._nodes[node_id] += 1
        try:
            yield
        finally:
            self._open -= 1
            if node_id is not None:
                self._nodes[node_id] -= 1
                if not self._nodes[node_id]:
                    del self._nodes[node_id]
