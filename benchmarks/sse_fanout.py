"""One change to many proxies: thousands of ``once`` readers are parked; how long until the last has its event, and what
the control plane holds for it. The readers are raw sockets of this machine, all of one view, as one cluster's are.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import uvloop
from control import ControlPlane, policy, rules, serve
from harness import Bench, BenchmarkError, allow_files, processors, reported_errors
from rawhttp import Connection, request
from report import arguments, publish, shown, spread, table


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--readers", type=int, default=2000, help="parked at once")
    parser.add_argument("--rules", type=int, default=40, help="in the snapshot: 40 are some 6 KB")
    options = parser.parse_args()
    with reported_errors(), Bench() as bench:
        allow_files(options.readers + 256)
        plane = serve(bench, ["--store", "memory"], processors()[0])
        taken = uvloop.run(measure(plane, options))
    publish("sse_fanout", options, *summary(taken, options))


async def measure(plane: ControlPlane, options: argparse.Namespace) -> dict[str, list[float]]:
    """For each round: milliseconds from sending the POST until the first, the median and the last has its event."""
    before = plane.started.memory()["rss"]
    version = await asyncio.to_thread(plane.apply, policy("many", rules(options.rules)))
    epoch = str((await asyncio.to_thread(plane.get, "/v1/metrics"))["control_plane"]["epoch"])
    readers = [await Connection.open(plane.http) for _ in range(options.readers)]
    taken: dict[str, list[float]] = {"first": [], "half": [], "last": [], "rss": [], "bytes": []}
    for number in range(options.rounds):
        answers = [one.send(poll(at, version, epoch)) for at, one in enumerate(readers)]
        await until_parked(plane, options.readers)
        began = time.perf_counter()
        change = policy("many", rules(options.rules, f"/none/{number}"))
        version = await asyncio.to_thread(plane.apply, change)
        async with asyncio.timeout(60):
            statuses = await asyncio.gather(*answers)
        if set(statuses) != {200} or any(f"id: {version}\n".encode() not in one.body for one in readers):
            raise BenchmarkError("a reader was not given the event")
        times = sorted((one.done - began) * 1000 for one in readers)
        taken["first"].append(times[0])
        taken["half"].append(times[len(times) // 2])
        taken["last"].append(times[-1])
        taken["rss"].append(plane.started.memory()["rss"] - before)
        taken["bytes"].append(float(len(readers[0].body)))
    for one in readers:
        one.close()
    return taken


def poll(number: int, version: int, epoch: str) -> bytes:
    """What the filter of a proxy that is up to date asks; all are of one cluster."""
    who = {"x-hfi-node": f"proxy-{number}", "x-hfi-cluster": "checkout", "x-hfi-labels": "track=stable"}
    have = {"accept": "text/event-stream", "last-event-id": str(version), "x-hfi-epoch": epoch}
    return request("GET", "/v1/config/stream?wait=120s&once=true", {**have, **who})


async def until_parked(plane: ControlPlane, readers: int, seconds: float = 60.0) -> None:
    """Wait until the control plane itself counts them as parked. Raises after ``seconds``."""
    deadline = time.monotonic() + seconds
    while (there := (await asyncio.to_thread(plane.get, "/v1/metrics"))["control_plane"]["stream"]["parked"]) < readers:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"only {there} of {readers} readers are parked after {seconds:.0f} s")
        await asyncio.sleep(0.1)


def summary(taken: dict[str, list[float]], options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures, and the table that shows them."""
    results: dict[str, Any] = {key: {**spread(values), "rounds": values} for key, values in taken.items()}
    size = f"{results['bytes']['median'] / 1000:.1f} KB"
    times = [shown(results[key], 0) for key in ("first", "half", "last")]
    head = ["parked readers", "event", "first, ms", "half, ms", "last, ms", "RSS more than at start, MB"]
    return results, table(head, [[str(options.readers), size, *times, shown(results["rss"], 1)]])


if __name__ == "__main__":
    main()
