"""How late a delayed request is: measured minus asked, HFI beside Envoy's own fault filter, with many in delay at once.

Nothing is subtracted. What client and path add by themselves stands in a row of its own: the same requests, undelayed.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import envoys
import uvloop
from control import policy, rule
from envoys import expect_status
from harness import BenchmarkError
from rawhttp import Connection, request
from report import percentile, shown, spread, table
from targets import Row, at_most

from filter.setting import Setting

HEADER = "x-slow"
REQUEST = request("GET", "/orders/7", {HEADER: "yes"})
ABOUT = {"none": "no delay (client and path alone)", "fault": "Envoy's fault filter", "hfi": "HFI"}
#: Row: the percentile, and how much later than Envoy's own it may be, in milliseconds.
SHARES = {"delay-p50": (50, 0.5), "delay-p99": (99, 2.0)}
NAMES = tuple(SHARES)


class Delays:
    """Three Envoys; those that delay do so for requests with the header."""

    def __init__(self, setting: Setting, wanted: frozenset[str]) -> None:
        self._wanted = wanted
        self._delay_ms: int = setting.options.delay_ms
        self._at_once: list[int] = sorted(setting.options.at_once)
        fault = {"delay": {"fixedDelay": f"{self._delay_ms}ms"}}
        slow = policy("slow", [rule("slow", fault, headers=[{"name": HEADER, "present": True}])], "delay-hfi")
        self._envoys = {
            "none": setting.peer("delay-none", []),
            "fault": setting.peer("delay-fault", [envoys.fault_filter(HEADER, delay_ms=self._delay_ms)]),
            "hfi": setting.hfi("delay-hfi", [slow]),
        }
        for envoy in self._envoys.values():
            expect_status(envoy, 200)
        self._late: dict[int, dict[str, list[list[float]]]] = {
            at_once: {name: [] for name in self._envoys} for at_once in self._at_once
        }

    def round(self, number: int) -> None:
        """Each number at once, each Envoy in turn."""
        uvloop.run(self._round())

    async def _round(self) -> None:
        for at_once in self._at_once:
            for name, envoy in self._envoys.items():
                asked = 0 if name == "none" else self._delay_ms
                connections = [await Connection.open(envoy.port) for _ in range(at_once)]
                # What a connection's first request costs Envoy is not what is asked here.
                await volley(connections, self._delay_ms)
                late: list[float] = []
                # One at a time gives one figure each time: more of them, for a p99 to mean something.
                for _ in range(max(1, 40 // at_once)):
                    await volley(connections, self._delay_ms)
                    check(name, connections, asked)
                    late += [(one.done - one.sent) * 1000 - asked for one in connections]
                self._late[at_once][name].append(late)
                for one in connections:
                    one.close()

    def _more(self, at_once: int, share: int) -> dict[str, float]:
        """How much later HFI is than Envoy's own, in milliseconds."""
        by_name = self._late[at_once]
        pairs = zip(by_name["hfi"], by_name["fault"], strict=True)
        return spread([percentile(mine, share) - percentile(peer, share) for mine, peer in pairs])

    def rows(self) -> list[Row]:
        """With the most at once."""
        made = []
        for name, (share, most) in SHARES.items():
            if name in self._wanted:
                more = self._more(self._at_once[-1], share)
                about = f"p{share} of a delay's error, beside Envoy's own, {self._at_once[-1]:,} at once"
                made.append(Row(name, about, more, 2, "ms", *at_most(most, more, "ms")))
        return made

    def detail(self) -> tuple[dict[str, Any], str]:
        """Each number at once, each Envoy."""
        figures: dict[str, Any] = {}
        lines = []
        for at_once, by_name in self._late.items():
            for name, lists in by_name.items():
                late = {share: spread([percentile(one, share) for one in lists]) for share in (50, 99)}
                figures[f"{name}, {at_once} at once"] = {
                    "asked_ms": 0 if name == "none" else self._delay_ms,
                    "p50_late_ms": late[50],
                    "p99_late_ms": late[99],
                    "rounds": lists,
                }
                more = [shown(self._more(at_once, share)) if name == "hfi" else "" for share in (50, 99)]
                lines.append([str(at_once), ABOUT[name], shown(late[50]), more[0], shown(late[99]), more[1]])
        head = ["at once", "filter", "p50 late, ms", "beside Envoy's", "p99 late, ms", "beside Envoy's"]
        return figures, table(head, lines)


async def volley(connections: list[Connection], over_ms: float) -> None:
    """A request on each connection, evenly over nearly the delay: at its end all of them are in delay at once.

    Sending all in one instant would measure how fast this client reads a burst.
    """
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.disable()
    try:
        began, answers = loop.time(), []
        for number, connection in enumerate(connections):
            due = began + 0.9 * over_ms / 1000 * number / len(connections)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            answers.append(connection.send(REQUEST))
        async with asyncio.timeout(30):
            statuses = await asyncio.gather(*answers)
    finally:
        gc.enable()
    if set(statuses) != {200}:
        raise BenchmarkError(f"answers other than 200: {sorted(set(statuses))}")


def check(name: str, connections: list[Connection], asked_ms: int) -> None:
    """Raise when a delay was not there, or when the requests were not all in delay at once."""
    if asked_ms:
        least = min(one.done - one.sent for one in connections)
        # Envoy counts from when its event loop woke up, and so is early by what the loop had to do before.
        if least * 1000 < asked_ms * 0.8:
            raise BenchmarkError(f"{name} delayed by {least * 1000:.1f} ms where {asked_ms} was asked for")
        if max(one.sent for one in connections) > min(one.sent for one in connections) + asked_ms / 1000:
            raise BenchmarkError(f"this machine is too slow to have {len(connections)} requests in delay at once")
