"""What becomes of a session's events: the proxies' status, metrics, and words in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from hfi_core.proxies import ProxyRegistry, ResourceStatus
from hfi_xds.ledger import Event, StaleNonce
from hfi_xds.metrics import XdsMetrics
from hfi_xds.resource_types import label

log = logging.getLogger(__name__)


class Reporter:
    """Takes the events of every stream. Status flows here, and nothing that is served depends on it."""

    def __init__(self, proxies: ProxyRegistry, metrics: XdsMetrics) -> None:
        self._proxies = proxies
        self._metrics = metrics

    def report(self, node_id: str, events: Iterable[Event]) -> None:
        """Take the events of one node's stream, in order."""
        for event in events:
            if isinstance(event, ResourceStatus):
                self._proxies.resource(node_id, event)
                self._count(node_id, event)
            elif isinstance(event, StaleNonce):
                self._metrics.stale_nonces[label(event.type_url)].inc()
            else:
                self._metrics.unknown_types.inc()

    def _count(self, node_id: str, status: ResourceStatus) -> None:
        kind = label(status.type_url)
        if status.state == "acked":
            self._metrics.acks[kind].inc()
        elif status.state == "nacked":
            self._metrics.nacks[kind].inc()
            log.warning(
                "proxy %r rejected %s %r (%s) and keeps what it had: %r",
                node_id,
                kind,
                status.name,
                status.digest[:12],
                status.message,
            )
        elif status.state == "not_applied":
            self._metrics.false_acks[kind].inc()
            log.warning("proxy %r, %s %r (%s): %r", node_id, kind, status.name, status.digest[:12], status.message)
