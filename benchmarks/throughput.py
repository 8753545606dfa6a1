"""Requests a second through one Envoy worker, and its processor time for each: HFI beside no filter and beside
Envoy's own fault filter. All variants run at the same time and are loaded in turn, round after round."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from dataclasses import dataclass
from typing import Any

import envoys
import floor
from control import many, policy, rule, serve
from envoys import Envoy, expect_status
from harness import HOST, Bench, BenchmarkError, command, processors, reported_errors
from report import arguments, publish, ratios, shown, spread, table

ABORTED = 503


@dataclass(slots=True)
class Variant:
    """One Envoy and what it is to do: pass every request, or abort every request."""

    about: str
    envoy: Envoy
    aborts: bool
    beside: str


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the load."""

    rate: float
    """Requests a second."""
    cpu_us: float
    """Processor time of the Envoy for each request, in microseconds."""
    p50_ms: float
    p99_ms: float


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "", rounds=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each variant is loaded in a round")
    parser.add_argument("--connections", type=int, default=32, help="kept by the load at once")
    parser.add_argument("--rules", type=int, default=100, help="how many rules, of which none matches")
    options = parser.parse_args()
    with reported_errors(), Bench() as bench:
        variants = start(bench, options)
        taken: dict[str, list[Measured]] = {name: [] for name in variants}
        for variant in variants.values():
            load(variant, 0.5, options.connections)
        for number in range(options.rounds):
            # Every other round backwards, so that a machine that grows busier favours nobody.
            order = list(variants) if number % 2 == 0 else list(reversed(variants))
            for name in order:
                taken[name].append(load(variants[name], options.seconds, options.connections))
    publish("throughput", options, *summary(variants, taken))


def start(bench: Bench, options: argparse.Namespace) -> dict[str, Variant]:
    """Every variant, running and checked to do what its name says."""
    command("wrk", "install it with: apt-get install wrk")
    busy, rest = processors()
    to = envoys.upstream(bench, rest)
    plane = serve(bench, ["--store", "memory"], rest)
    for document in many("many", options.rules, "hfi-many"):
        plane.apply(document)
    version = plane.apply(policy("abort", [rule("all", {"abort": {"httpStatus": ABORTED}})], "hfi-abort"))

    def ours(name: str, seen: int) -> Envoy:
        envoy = envoys.hfi(bench, name, to, plane.http, plane.xds, busy)
        envoy.filter_runs()
        envoy.sees_version(seen)
        return envoy

    def theirs(name: str, *filters: dict[str, Any]) -> Envoy:
        return envoys.peer(bench, name, to, filters, busy)

    idle = envoys.fault_filter("x-never", abort=ABORTED, delay_ms=100)
    abort = envoys.fault_filter(None, abort=ABORTED)
    empty, asking = floor.filter(bench, 0, every_callback=True), floor.filter(bench, 10, every_callback=True)
    quiet = f"HFI, {options.rules} rules, none matching"
    variants = {
        "none": Variant("no filter", theirs("none"), False, "none"),
        "fault-idle": Variant("Envoy's fault filter, not matching", theirs("fault-idle", idle), False, "none"),
        "wasm-empty": Variant("a Wasm filter that does nothing", theirs("wasm-empty", empty), False, "none"),
        "wasm-calls": Variant("the same, 10 host calls", theirs("wasm-calls", asking), False, "wasm-empty"),
        "hfi-0": Variant("HFI, 0 rules", ours("hfi-0", version), False, "none"),
        "hfi-many": Variant(quiet, ours("hfi-many", version), False, "none"),
        "fault-abort": Variant("Envoy's fault filter, abort", theirs("fault-abort", abort), True, "fault-abort"),
        "hfi-abort": Variant("HFI, abort", ours("hfi-abort", version), True, "fault-abort"),
    }
    for variant in variants.values():
        expect_status(variant.envoy, ABORTED if variant.aborts else 200)
    return variants


def load(variant: Variant, seconds: float, connections: int) -> Measured:
    """Load one Envoy as fast as it goes. Raises unless every answer is what the variant is to give."""
    envoy = variant.envoy
    envoy.started.alive()
    before = envoy.started.cpu_seconds()
    wrk = [command("wrk", ""), "--latency", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    done = subprocess.run(
        [*wrk, f"http://{HOST}:{envoy.port}/orders/7"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        preexec_fn=_beside,
        check=False,
    )
    cpu = envoy.started.cpu_seconds() - before
    return read(done.stdout + done.stderr, cpu, variant)


def _beside() -> None:
    rest = processors()[1]
    if rest is not None:
        os.sched_setaffinity(0, {rest})


def read(text: str, cpu: float, variant: Variant) -> Measured:
    """What wrk printed, as figures."""

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        if found is None:
            raise BenchmarkError(f"wrk printed what is not understood:\n{text}")
        return float(found[1])

    total = int(number(r"(\d+) requests in"))
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = int(refused[1]) if refused else 0
    if not total or "Socket errors" in text or failed != (total if variant.aborts else 0):
        raise BenchmarkError(f"{variant.envoy.name} did not answer as it was to:\n{text}")
    rate = number(r"Requests/sec:\s+([\d.]+)")
    return Measured(rate, cpu / total * 1e6, _milliseconds(text, 50), _milliseconds(text, 99))


def _milliseconds(text: str, share: int) -> float:
    found = re.search(rf"\s{share}%\s+([\d.]+)(us|ms|s)", text)
    if found is None:
        raise BenchmarkError(f"wrk printed no latency:\n{text}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def summary(variants: dict[str, Variant], taken: dict[str, list[Measured]]) -> tuple[dict[str, Any], str]:
    """The figures, and the table that shows them."""
    results: dict[str, Any] = {}
    rows = []
    for name, variant in variants.items():
        mine, other = taken[name], taken[variant.beside]
        rate = spread([one.rate for one in mine])
        ratio = ratios([one.rate for one in mine], [one.rate for one in other])
        # Peer over mine, so that it reads like the ratio of rates: below 1 is dearer.
        cpu_ratio = ratios([one.cpu_us for one in other], [one.cpu_us for one in mine])
        cpu = spread([one.cpu_us for one in mine])
        more = spread([a.cpu_us - b.cpu_us for a, b in zip(mine, other, strict=True)])
        p50, p99 = spread([one.p50_ms for one in mine]), spread([one.p99_ms for one in mine])
        results[name] = {
            "about": variant.about,
            "beside": variant.beside,
            "requests_per_second": rate,
            "ratio": ratio,
            "ratio_by_cpu": cpu_ratio,
            "cpu_us_per_request": cpu,
            "cpu_us_more": more,
            "p50_ms": p50,
            "p99_ms": p99,
            "rounds": [[one.rate, one.cpu_us, one.p50_ms, one.p99_ms] for one in mine],
        }
        latency = f"{p50['median']:.2f} / {p99['median']:.2f}"
        costs = [shown(rate, 0), shown(ratio), shown(cpu_ratio), shown(cpu, 1), shown(more, 1), latency]
        rows.append([variant.about, "" if name == variant.beside else variant.beside, *costs])
    head = ["variant", "beside", "requests/s", "ratio", "ratio by CPU", "CPU µs/request", "µs more", "p50 / p99 ms"]
    return results, table(head, rows)


if __name__ == "__main__":
    main()
