"""A thin asyncio client of etcd's v3 API: what HFI needs of it, and no more.

What may live here: messages on the wire, connections, attempts, deadlines, tokens, and the resumption of a
watch. Nothing here knows of policies, prefixes or epochs. This package is the only door to the generated
messages (``hfi_core.store.pb``), and neither they nor gRPC's exceptions leave it.
"""

from __future__ import annotations

from hfi_core.store.etcd_client.client import EtcdClient
from hfi_core.store.etcd_client.values import KeyChange, KeyValue, Range, Swap, WatchNews

__all__ = ["EtcdClient", "KeyChange", "KeyValue", "Range", "Swap", "WatchNews"]
