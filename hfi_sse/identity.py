"""Who asks for the stream: ``x-hfi-node``, ``x-hfi-cluster``, ``x-hfi-labels`` and what it has already.

Envoy's filter sends headers; a browser's EventSource cannot, so ``?node=``, ``?cluster=``, ``?labels=`` and
``?epoch=`` say the same. A reader that names neither node nor cluster nor labels is no proxy: it sees every
rule, whatever its selector. One that names any of them sees what that proxy would run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

from hfi_core.snapshot import NodeIdentity
from hfi_sse.errors import ParameterInvalid
from hfi_sse.views import Audience, Position

#: Node ids are kept, so their length is bounded. Kubernetes' longest pod name with its namespace fits in.
MAX_ID = 512
MAX_LABELS = 64
MAX_LABEL = 512


@dataclass(frozen=True, slots=True)
class Asker:
    """A reader of the stream. ``node`` is None for one that is no proxy, or no particular one."""

    node: NodeIdentity | None
    audience: Audience
    position: Position

    @property
    def node_id(self) -> str | None:
        """The node's id; None where there is no node."""
        return None if self.node is None else self.node.id


def asker(request: Request) -> Asker:
    """Who asks, and what it has. Raises :class:`ParameterInvalid`."""
    node_id = _said(request, "node")
    cluster = _said(request, "cluster")
    labels_text = _said(request, "labels")
    labels = _labels(labels_text or "")
    position = Position(_version(request.headers.get("last-event-id")), _said(request, "epoch") or None)
    if not node_id and cluster is None and labels_text is None:
        return Asker(None, Audience(everything=True), position)
    identity = NodeIdentity.of(node_id or "", cluster or "", labels)
    return Asker(identity if node_id else None, Audience(identity.cluster, identity.labels), position)


def _said(request: Request, name: str) -> str | None:
    text = request.headers.get(f"x-hfi-{name}", request.query_params.get(name))
    if text is not None and name != "labels" and len(text) > MAX_ID:
        raise ParameterInvalid(f"x-hfi-{name}", f"must be at most {MAX_ID} characters")
    return text


def _labels(text: str) -> dict[str, str]:
    """``k=v,k2=v2``. What a label may look like is the proxy's business: it is only compared."""
    labels: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key or key in labels or len(part) > MAX_LABEL:
            raise ParameterInvalid("x-hfi-labels", f"must be k=v,k2=v2 with each key once, not {part[:80]!r}")
        labels[key] = value
    if len(labels) > MAX_LABELS:
        raise ParameterInvalid("x-hfi-labels", f"must be at most {MAX_LABELS} labels")
    return labels


def _version(text: str | None) -> int | None:
    # An id that is none of ours is no position: such a reader is sent the snapshot.
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,19}", text) else None
