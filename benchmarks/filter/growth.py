"""Memory of Envoy while one snapshot after the other comes in: what is not given back adds up."""

from __future__ import annotations

from typing import Any

from harness import BenchmarkError, wait_for
from report import spread, table
from targets import Row

from filter import sets
from filter.load import Load
from filter.setting import Setting
from filter.source import Handle, prefix

NAMES = ("growth",)
RULES = 1000
#: Snapshots until memory is to have found its size.
SETTLED = 100
#: Above this it is growth and not the allocators' breathing: 1,000 rules are some 250 KB of JSON.
MOST_MB = 2.0
#: Snapshots between two readings.
_EVERY = 20


class Growth:
    """One Envoy; the snapshots are spread over the rounds."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._rounds: int = setting.options.rounds
        self._snapshots: int = setting.options.snapshots
        if self._snapshots <= SETTLED:
            raise BenchmarkError(f"the row growth needs more than {SETTLED} --snapshots")
        self._source = Handle(setting.bench, "growth-source", setting.rest)
        self._envoy = setting.hfi("growth", http=self._source.port)
        self._sent = 0
        self._rss: dict[int, float] = {}

    def round(self, number: int) -> None:
        """As many as are due, each when the one before is taken."""
        until = self._snapshots * (number + 1) // self._rounds
        version = 0
        while self._sent < until:
            version = self._source.publish(RULES)
            self._source.taken(version)
            self._in_force(version)
            self._sent += 1
            if self._sent % _EVERY == 0 or self._sent == self._snapshots:
                self._rss[self._sent] = self._envoy.started.memory()["rss"]

    def _in_force(self, version: int) -> None:
        """Requests that its rules abort: the worker has the snapshot, and has compiled what it compiles when needed."""
        for one in sets.mixed(RULES, prefix(version)).matching:

            def aborted(one: Load = one) -> bool | None:
                return self._envoy.status_of(one.path, dict(one.headers)) == one.expected or None

            wait_for(f"snapshot {version} in the worker", aborted, every=0.005)

    def rows(self) -> list[Row]:
        """The end beside what the first hundred left."""
        least = min(value for at, value in self._rss.items() if at >= SETTLED)
        grown = spread([self._rss[self._snapshots] - self._rss[SETTLED]])
        about = f"RSS of Envoy after {self._snapshots:,} snapshots of {RULES:,} rules, less that after {SETTLED}"
        note = f"{self._rss[SETTLED]:.1f} → {self._rss[self._snapshots]:.1f} MB, least {least:.1f}"
        return [Row("growth", about, grown, 1, "MB", f"≤ {MOST_MB:g} MB", grown["median"] <= MOST_MB, note)]

    def detail(self) -> tuple[dict[str, Any], str]:
        """A few readings on the way."""
        marks = sorted({_EVERY, SETTLED, *(self._snapshots * part // 4 // _EVERY * _EVERY for part in (1, 2, 3, 4))})
        line = [f"{self._rss[at]:.1f}" for at in marks if at in self._rss]
        heads = [f"after {at}" for at in marks if at in self._rss]
        return {"rss_mb": self._rss}, table(["RSS of Envoy, MB", *heads], [["", *line]])
