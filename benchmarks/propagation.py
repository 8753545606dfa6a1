"""How long until a change is felt: from sending ``POST /v1/policies`` (and ``DELETE``) to the first request through
Envoy that shows it. Real etcd, real Envoy; probes follow each other on one kept connection."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from typing import Any

import envoys
import uvloop
from control import ControlPlane, embedded, etcd, policy, rule, serve
from harness import Bench, BenchmarkError, reported_errors
from rawhttp import Connection, request
from report import arguments, percentile, publish, table

NAME = "felt"
PROBE = request("GET", "/orders/7")
FAULTY = 503


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "", rounds=100)
    parser.add_argument("--store", choices=["embedded", "etcd", "memory"], default="embedded")
    parser.add_argument("--others", type=int, default=0, help="other policies that are there all the time")
    options = parser.parse_args()
    with reported_errors(), Bench() as bench:
        plane = start(bench, options)
        to = envoys.upstream(bench)
        envoy = envoys.hfi(bench, "hfi", to, plane.http, plane.xds)
        envoy.filter_runs()
        taken = uvloop.run(measure(envoy.port, plane.http, options.rounds))
    publish("propagation", options, *summary(taken))


def start(bench: Bench, options: argparse.Namespace) -> ControlPlane:
    """The control plane on the store that was asked for."""
    if options.store == "etcd":
        url, _ = etcd(bench)
        plane = serve(bench, ["--store", "etcd", "--etcd", url])
    else:
        plane = serve(bench, embedded(bench) if options.store == "embedded" else ["--store", "memory"])
    for number in range(options.others):
        plane.apply(
            policy(f"other-{number}", [rule("r", {"abort": {"httpStatus": 500}}, path={"exact": f"/none/{number}"})])
        )
    return plane


async def measure(data: int, control: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds: until felt, and until answered by the control plane, for apply and delete."""
    probes, hand = await Connection.open(data), await Connection.open(control)
    body = json.dumps(policy(NAME, [rule("all", {"abort": {"httpStatus": FAULTY}})])).encode()
    apply = request("POST", "/v1/policies", {"content-type": "application/json"}, body)
    delete = request("DELETE", f"/v1/policies/{NAME}")
    taken: dict[str, list[float]] = {
        "apply": [],
        "apply answered": [],
        "delete": [],
        "delete answered": [],
        "probe": [],
    }
    await probe_until(probes, 200)
    for _ in range(rounds):
        for what, sent, good, status in (("apply", apply, (200, 201), FAULTY), ("delete", delete, (200, 204), 200)):
            # So that the rounds do not fall in step with a timer anywhere.
            await asyncio.sleep(random.uniform(0.02, 0.06))
            answer = hand.send(sent)
            taken[what].append((await probe_until(probes, status) - hand.sent) * 1000)
            async with asyncio.timeout(10):
                if await answer not in good:
                    raise BenchmarkError(f"{what} was answered with {answer.result()}: {hand.body[:500]!r}")
            taken[f"{what} answered"].append((hand.done - hand.sent) * 1000)
            taken["probe"].append((probes.done - probes.sent) * 1000)
    return taken


async def probe_until(probes: Connection, status: int, seconds: float = 30.0) -> float:
    """Probe without a pause until one is answered so: when it was. Raises after ``seconds``."""
    deadline = time.perf_counter() + seconds
    while await probes.send(PROBE) != status:
        if time.perf_counter() > deadline:
            raise BenchmarkError(f"no request was answered with {status} within {seconds:.0f} s")
    return probes.done


def summary(taken: dict[str, list[float]]) -> tuple[dict[str, Any], str]:
    """The figures, and the table that shows them."""
    about = {
        "apply": "POST sent → first request that is aborted",
        "apply answered": "POST sent → its answer is there",
        "delete": "DELETE sent → first request that passes",
        "delete answered": "DELETE sent → its answer is there",
        "probe": "one probe, for comparison",
    }
    results: dict[str, Any] = {}
    rows = []
    for name, values in taken.items():
        figures = {"p50_ms": percentile(values, 50), "p99_ms": percentile(values, 99), "max_ms": max(values)}
        results[name] = {**figures, "count": len(values), "values_ms": values}
        rows.append([about[name], str(len(values)), *(f"{value:.1f}" for value in figures.values())])
    return results, table(["what", "times", "p50 ms", "p99 ms", "max ms"], rows)


if __name__ == "__main__":
    main()
