"""How late a delayed request is: measured minus asked, HFI beside Envoy's own fault filter, with many in delay at once.

Nothing is subtracted. What client and path add by themselves stands in a row of its own: the same requests, undelayed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from typing import Any

import envoys
import uvloop
from control import policy, rule, serve
from envoys import Envoy, expect_status
from harness import Bench, BenchmarkError, allow_files, processors, reported_errors
from rawhttp import Connection, request
from report import arguments, percentile, publish, shown, spread, table

HEADER = "x-slow"
REQUEST = request("GET", "/orders/7", {HEADER: "yes"})
NAMES = {"none": "no delay (client and path alone)", "fault": "Envoy's fault filter", "hfi": "HFI"}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--delay-ms", type=int, default=100, help="what is asked for")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 100, 1000], help="requests in delay at once")
    options = parser.parse_args()
    with reported_errors(), Bench() as bench:
        allow_files(4 * max(options.at_once) + 256)
        variants = start(bench, options.delay_ms)
        taken = uvloop.run(measure(variants, options))
    publish("delay", options, *summary(taken, options))


def start(bench: Bench, delay_ms: int) -> dict[str, Envoy]:
    """The three Envoys; those that delay do so for requests with the header."""
    busy, rest = processors()
    to = envoys.upstream(bench, rest)
    plane = serve(bench, ["--store", "memory"], rest)
    slow = rule("slow", {"delay": {"fixedDelay": f"{delay_ms}ms"}}, headers=[{"name": HEADER, "present": True}])
    version = plane.apply(policy("slow", [slow]))
    hfi = envoys.hfi(bench, "hfi", to, plane.http, plane.xds, busy)
    hfi.filter_runs()
    hfi.sees_version(version)
    variants = {
        "none": envoys.peer(bench, "none", to, [], busy),
        "fault": envoys.peer(bench, "fault", to, [envoys.fault_filter(HEADER, delay_ms=delay_ms)], busy),
        "hfi": hfi,
    }
    for envoy in variants.values():
        expect_status(envoy, 200)
    return variants


async def measure(variants: dict[str, Envoy], options: argparse.Namespace) -> dict[int, dict[str, list[list[float]]]]:
    """For each number at once and each variant: the errors in milliseconds, a list for each round."""
    taken: dict[int, dict[str, list[list[float]]]] = {}
    for at_once in options.at_once:
        taken[at_once] = {name: [] for name in variants}
        opened = {name: [await Connection.open(envoy.port) for _ in range(at_once)] for name, envoy in variants.items()}
        for name, connections in opened.items():
            await volley(connections, options.delay_ms)
            asked = 0 if name == "none" else options.delay_ms
            check(name, connections, asked)
        for _ in range(options.rounds):
            for name, connections in opened.items():
                asked = 0 if name == "none" else options.delay_ms
                late: list[float] = []
                # One at a time gives one figure each time: more of them, for a p99 to mean something.
                for _ in range(max(1, 40 // at_once)):
                    await volley(connections, options.delay_ms)
                    check(name, connections, asked)
                    late += [(one.done - one.sent) * 1000 - asked for one in connections]
                taken[at_once][name].append(late)
        for connections in opened.values():
            for one in connections:
                one.close()
    return taken


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


def summary(taken: dict[int, dict[str, list[list[float]]]], options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures, and the table that shows them."""
    results: dict[str, Any] = {}
    rows = []
    for at_once, by_name in taken.items():
        peer = by_name["fault"]
        for name, lists in by_name.items():
            result: dict[str, Any] = {"asked_ms": 0 if name == "none" else options.delay_ms, "rounds": lists}
            row = [str(at_once), NAMES[name]]
            for share in (50, 99):
                mine = [percentile(one, share) for one in lists]
                theirs = [percentile(one, share) for one in peer]
                result[f"p{share}_late_ms"] = spread(mine)
                row.append(shown(spread(mine)))
                if name == "hfi":
                    more = spread([a - b for a, b in zip(mine, theirs, strict=True)])
                    result[f"p{share}_later_than_envoys_ms"] = more
                    row.append(shown(more))
                else:
                    row.append("")
            results[f"{name}-{at_once}"] = result
            rows.append(row)
    head = ["at once", "filter", "p50 late, ms", "beside Envoy's", "p99 late, ms", "beside Envoy's"]
    return results, table(head, rows)


if __name__ == "__main__":
    main()
