"""What the replicas tell each other while a rollout is under way: when each has last heard of the nodes it covers.

A node may ask one replica for the module and another for rules, and move to a third; none of them alone could say that
it is silent. Each replica keeps one key, under a lease, and writes it a few times in a watch; when no rollout is under
way nothing is written. Ages are told and not times, so that clocks need not agree.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hfi_core.clock import now_ms
from hfi_core.errors import StoreError
from hfi_core.following import Follower
from hfi_core.store.protocol import Entry, Store

log = logging.getLogger(__name__)

#: How long a replica's word is kept after it was written; longer than any pause between two.
LEAST_KEPT_MS = 30_000
#: So often is it written within the watch of a node.
TIMES_IN_A_WATCH = 4


@dataclass(frozen=True, slots=True)
class _Word:
    """What one replica has said: ``received_ms`` is our time, ``ages`` of nodes, by their short names, in ms."""

    version: int
    received_ms: int
    rollout: str
    ages: Mapping[str, int]


class Hearing:
    """One replica's part in it, in a store of its own. ``clock`` answers Unix milliseconds."""

    def __init__(self, store: Store, clock: Callable[[], int] = now_ms) -> None:
        self._store = store
        self._clock = clock
        self._replica = secrets.token_hex(8)
        self._words: dict[str, _Word] = {}
        self._told_at_ms: int | None = None
        self._told = ""
        self.follower = Follower("words of other replicas", store, self._take)

    def heard(self, rollout_id: str, node_id: str) -> int | None:
        """When another replica has last heard of a node, by our clock; None when none has said."""
        short = _short(node_id)
        times = [
            word.received_ms - word.ages[short]
            for word in self._words.values()
            if word.rollout == rollout_id and short in word.ages
        ]
        return max(times, default=None)

    async def tell(self, rollout_id: str, heard: Mapping[str, int], watch_seconds: int) -> bool:
        """Tell the others, if it is time, when we have last heard of each node. Whether that can be done."""
        now, every = self._clock(), watch_seconds * 1000 // TIMES_IN_A_WATCH
        # A clock that was set back must not silence us.
        if self._told == rollout_id and self._told_at_ms is not None and 0 <= now - self._told_at_ms < every:
            return True
        # What is older than two watches is told by nobody having said anything.
        oldest = now - 2 * watch_seconds * 1000
        ages = {_short(node): max(0, now - at) for node, at in heard.items() if at >= oldest}
        value = json.dumps({"rollout": rollout_id, "ages": ages}, separators=(",", ":")).encode()
        try:
            await self._store.put(self._replica, value, expires_at_ms=now + max(LEAST_KEPT_MS, 4 * every))
        except StoreError as error:
            log.warning("the other replicas are not told which nodes are heard here: %s", error)
            return False
        self._told, self._told_at_ms = rollout_id, now
        return True

    def _take(self, entries: Iterable[Entry], revision: int) -> int:
        known, self._words = self._words, {}
        for entry in entries:
            word = known.get(entry.key)
            if word is None or word.version != entry.version:
                word = _read(entry, self._clock())
            if word is not None and entry.key != self._replica:
                self._words[entry.key] = word
        return revision


def _read(entry: Entry, received_ms: int) -> _Word | None:
    try:
        found = json.loads(entry.value)
        ages = {str(node): int(age) for node, age in found["ages"].items()}
        return _Word(entry.version, received_ms, str(found["rollout"]), ages)
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("what replica %s says of nodes cannot be read", entry.key)
        return None


def _short(node_id: str) -> str:
    """A node's id in twelve characters: there may be many, and a key of etcd's has an end."""
    return hashlib.sha256(node_id.encode(errors="surrogatepass")).hexdigest()[:12]
