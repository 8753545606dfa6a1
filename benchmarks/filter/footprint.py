"""Memory of one VM with many rules, and the module's size.

A VM's linear memory is read from the kernel's list of mappings, exactly: Envoy has no stat for it. Beside it stands
what Envoy grows by. Rules that are compiled only when they are first needed have all been needed before that.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import uvloop
from envoys import Envoy
from harness import BenchmarkError
from rawhttp import Connection, request
from report import shown, spread, table
from targets import Row, at_most

from filter import sets
from filter.setting import Setting
from hfi_core.modules.catalogue import FILTER, load_module

NAMES = ("memory", "module")
MOST_MB, MOST_MODULE_MB = 32, 1.2
#: Enough for each of two workers to have one.
CONNECTIONS = 4
#: V8 reserves some 8 GB behind each memory, so that it needs no bounds checks.
_RESERVED = 4 << 30
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+)")


class Footprint:
    """Envoys that start anew in each round: a VM's memory never shrinks."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._setting, self._wanted = setting, wanted
        self._rules = sets.mixed(setting.options.rules)
        self._taken: dict[str, list[float]] = {}

    def round(self, number: int) -> None:
        """One worker and two, without rules and with all of them."""
        if "memory" not in self._wanted:
            return
        rss: dict[tuple[int, str], float] = {}
        for workers in (1, 2):
            name = f"memory-{workers}-{number}"
            envoy = self._setting.hfi(name, workers=workers)
            rss[workers, "empty"] = settled(envoy)
            self._note("linear memory, 0 rules", max(linear_memories(envoy.started.pid)))
            version = 0
            for document in self._rules.policies(name):
                version = self._setting.plane.apply(document)
            envoy.sees_version(version)
            uvloop.run(self._ask_for_all(envoy, CONNECTIONS if workers > 1 else 1))
            rss[workers, "full"] = settled(envoy)
            if workers == 1:
                self._note(f"linear memory, {len(self._rules.rules):,} rules", max(linear_memories(envoy.started.pid)))
            envoy.started.stop()
            for document in self._rules.policies(name):
                self._setting.plane.delete(document["metadata"]["name"])
        self._note("RSS of Envoy, 1 worker, 0 rules", rss[1, "empty"])
        self._note("RSS of Envoy, 1 worker, all rules", rss[1, "full"])
        self._note("RSS more for a second worker, 0 rules", rss[2, "empty"] - rss[1, "empty"])
        self._note("RSS more for a second worker, all rules", rss[2, "full"] - rss[1, "full"])

    def _note(self, what: str, megabytes: float) -> None:
        self._taken.setdefault(what, []).append(megabytes)

    async def _ask_for_all(self, envoy: Envoy, connections: int) -> None:
        """A request for each rule on each connection, and every answer as the rule says."""

        async def ask(connection: Connection) -> None:
            for one in self._rules.requests():
                if await connection.send(request("GET", one.path, dict(one.headers))) != one.expected:
                    raise BenchmarkError(f"{envoy.name} does not answer {one.path} with {one.expected}")
            connection.close()

        await asyncio.gather(*[ask(await Connection.open(envoy.port)) for _ in range(connections)])

    def rows(self) -> list[Row]:
        """The larger of linear memories, and the file."""
        made = []
        if "memory" in self._wanted:
            name = f"linear memory, {len(self._rules.rules):,} rules"
            memory = spread(self._taken[name])
            more = spread(self._taken["RSS more for a second worker, all rules"])
            note = f"a second worker adds {shown(more, 1)} MB to Envoy's RSS"
            made.append(Row("memory", name, memory, 1, "MB", *at_most(MOST_MB, memory, "MB"), note=note))
        if "module" in self._wanted:
            size = spread([len(load_module(FILTER).code) / 1e6])
            made.append(Row("module", f"size of {FILTER}", size, 2, "MB", *at_most(MOST_MODULE_MB, size, "MB")))
        return made

    def detail(self) -> tuple[dict[str, Any], str]:
        """All readings."""
        figures = {what: spread(values) for what, values in self._taken.items()}
        if not figures:
            return {}, ""
        return figures, table(["memory", "MB"], [[what, shown(value, 1)] for what, value in figures.items()])


def linear_memories(pid: int) -> list[float]:
    """The sizes of a process's Wasm memories, in MB: what may be written just before a large reservation."""
    sizes, before = [], (0, 0)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = _MAPPING.match(line)
        if found is None:
            continue
        start, end = int(found[1], 16), int(found[2], 16)
        if found[3] == "---p" and end - start > _RESERVED and before[1] == start:
            sizes.append((before[1] - before[0]) / 1e6)
        before = (start, end) if found[3] == "rw-p" else (0, 0)
    if not sizes:
        raise BenchmarkError("no memory of a Wasm VM is found in this Envoy: its runtime is not V8, or a newer one")
    return sizes


def settled(envoy: Envoy, seconds: float = 10.0) -> float:
    """RSS in MB, once that has stopped changing (or ``seconds`` are over)."""
    deadline = time.monotonic() + seconds
    before = envoy.started.memory()["rss"]
    while time.monotonic() < deadline:
        time.sleep(1)
        now = envoy.started.memory()["rss"]
        if abs(now - before) < 0.5:
            return now
        before = now
    return before
