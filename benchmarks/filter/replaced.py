"""The latency of unrelated requests while all rules are replaced once a second, beside the same Envoy left alone.

Requests are sent by the clock and not by the answers: a client that waits for an answer before it asks again meets a
stall once, however long it is, and the percentile never shows it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import envoys
import uvloop
from harness import BenchmarkError
from rawhttp import Connection, request
from report import percentile, ratios, shown, spread, table
from targets import Row, at_most

from filter.setting import Setting
from filter.source import Handle

NAMES = ("replaced",)
REQUEST = request("GET", "/orders/7")
#: A second, evenly, on as many connections as a stall of a quarter of a second needs.
RATE, CONNECTIONS = 1000, 256
#: Between two replacements.
EVERY_SECONDS = 1.0
#: The shortest look at either state.
LEAST_SECONDS = 3.0
#: When half of the requests take longer than this without any replacement, the machine is too busy to tell.
SLOW_MS = 10.0


class Replaced:
    """One Envoy, quiet and not, in turn."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._rules: int = setting.options.rules
        self._seconds = max(LEAST_SECONDS, setting.options.seconds)
        self._path = setting.busy
        self._source = Handle(setting.bench, "replaced-source", setting.rest)
        to = envoys.upstream(setting.bench, setting.busy, "replaced-upstream")
        self._envoy = setting.hfi("replaced", http=self._source.port, to=to)
        self._takes = self._source.taken(self._source.publish(self._rules))
        self._missed = 0
        if setting.busy is not None and setting.rest is not None:
            apart(self._envoy.started.pid, setting.busy, setting.rest)
        self._taken: dict[str, list[list[float]]] = {"quiet": [], "replaced": []}

    def round(self, number: int) -> None:
        """Both states, each first in every other round."""
        before = os.sched_getaffinity(0)
        if self._path is not None:
            os.sched_setaffinity(0, {self._path})
        try:
            for state in ("quiet", "replaced") if number % 2 == 0 else ("replaced", "quiet"):
                self._taken[state].append(uvloop.run(self._look(state == "replaced")))
        finally:
            os.sched_setaffinity(0, before)

    async def _look(self, replaced: bool) -> list[float]:
        connections = [await Connection.open(self._envoy.port) for _ in range(CONNECTIONS)]
        await paced(connections, 0.5)
        changing = asyncio.create_task(self._change()) if replaced else None
        try:
            return await paced(connections, self._seconds)
        finally:
            for one in connections:
                one.close()
            if changing is not None:
                await changing

    async def _change(self) -> None:
        version, times = 0, round(self._seconds / EVERY_SECONDS)
        for _ in range(times):
            began = asyncio.get_running_loop().time()
            version = await asyncio.to_thread(self._source.publish, self._rules)
            await asyncio.sleep(began + EVERY_SECONDS - asyncio.get_running_loop().time())
        takes = await asyncio.to_thread(self._source.taken, version)
        self._missed += self._takes + times - takes
        self._takes = takes

    def rows(self) -> list[Row]:
        """The ratio of the p99s."""
        both = {state: [percentile(one, 99) for one in lists] for state, lists in self._taken.items()}
        ratio = ratios(both["replaced"], both["quiet"])
        about = f"p99 while {self._rules:,} rules are replaced once a second, beside quiet"
        slow = max(percentile(one, 50) for one in self._taken["quiet"]) > SLOW_MS
        notes = ["this machine was too busy: quiet, too, was slow"] if slow else []
        notes += [f"the filter skipped {self._missed} replacements"] if self._missed else []
        return [Row("replaced", about, ratio, 2, "×", *at_most(1.5, ratio, "×"), "; ".join(notes))]

    def detail(self) -> tuple[dict[str, Any], str]:
        """The percentiles of both."""
        figures: dict[str, Any] = {}
        lines = []
        for state, lists in self._taken.items():
            shares = {share: spread([percentile(one, share) for one in lists]) for share in (50, 99, 99.9)}
            longest = spread([max(one) for one in lists])
            figures[state] = {**{f"p{share}_ms": value for share, value in shares.items()}, "longest_ms": longest}
            lines.append([state, *(shown(value) for value in (*shares.values(), longest))])
        return figures, table([f"{RATE} requests/s", "p50 ms", "p99 ms", "p99.9 ms", "longest ms"], lines)


def apart(pid: int, path: int, rest: int) -> None:
    """Leave the worker on one processor, with all that a request passes through, and move other threads to the other.

    So has a worker where Envoy runs. What the main thread does is no stall of the worker, but would look like one if it
    took the processor from it, or from client or upstream. At this rate they take a fifth of the one they share.
    """
    for task in Path(f"/proc/{pid}/task").iterdir():
        worker = (task / "comm").read_text().startswith("wrk:worker")
        os.sched_setaffinity(int(task.name), {path if worker else rest})


async def paced(connections: list[Connection], seconds: float) -> list[float]:
    """Requests by the clock; from sent to answered, in milliseconds.

    One for which no connection is free counts from when it was due.
    """
    loop = asyncio.get_running_loop()
    free, waiting, taken = deque(connections), deque[float](), list[float]()

    async def one(connection: Connection) -> None:
        due: float | None = None
        while True:
            if await connection.send(REQUEST) != 200:
                raise BenchmarkError("an answer other than 200 while rules were replaced")
            taken.append((connection.done - (due or connection.sent)) * 1000)
            if not waiting:
                break
            due = waiting.popleft()
        free.append(connection)

    gc.collect()
    gc.disable()
    try:
        began, sent = loop.time(), []
        for number in range(round(seconds * RATE)):
            due = began + number / RATE
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if free:
                sent.append(asyncio.create_task(one(free.popleft())))
            else:
                waiting.append(time.perf_counter())
        async with asyncio.timeout(30):
            await asyncio.gather(*sent)
    finally:
        gc.enable()
    return taken
