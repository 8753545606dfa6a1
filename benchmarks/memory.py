"""Memory of the control plane (``hfi-cli serve``, one connected Envoy) at start and with more and more policies.

RSS counts each page that the process has in memory, PSS shared ones by share, private those that nobody shares; MB are
10^6 bytes. etcd is a process of its own and has its own row. Each figure is taken when it has stopped changing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import envoys
from control import ControlPlane, etcd, policy, rules, serve
from harness import Bench, Started, reported_errors
from report import arguments, publish, shown, spread, table

#: Taken as settled when two readings this far apart differ by less than half a MB.
SETTLE_SECONDS = 1.0


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "", rounds=1)
    parser.add_argument("--policies", type=int, nargs="+", default=[0, 100, 1000, 10_000], help="in rising order")
    parser.add_argument("--stores", nargs="+", choices=["memory", "etcd"], default=["memory", "etcd"])
    options = parser.parse_args()
    taken: dict[str, list[dict[str, float]]] = {}
    with reported_errors():
        for _ in range(options.rounds):
            for store in options.stores:
                with Bench() as bench:
                    for key, figures in measure(bench, store, sorted(options.policies)).items():
                        taken.setdefault(key, []).append(figures)
    publish("memory", options, *summary(taken))


def measure(bench: Bench, store: str, counts: Sequence[int]) -> dict[str, dict[str, float]]:
    """For each number of policies, what the processes hold."""
    beside: Started | None = None
    where = ["--store", "memory"]
    if store == "etcd":
        url, beside = etcd(bench)
        where = ["--store", "etcd", "--etcd", url]
    plane = serve(bench, where)
    taken = {f"{store}: no Envoy yet": settled(plane.started)}
    envoy = envoys.hfi(bench, "hfi", envoys.upstream(bench), plane.http, plane.xds)
    envoy.filter_runs()
    there = 0
    for count in counts:
        rate, version = fill(plane, there, count)
        there = count
        if version:
            envoy.sees_version(version, 120)
        taken[f"{store}: {count} policies"] = settled(plane.started) | {"applied_per_second": rate}
        if beside is not None:
            taken[f"etcd itself: {count} policies"] = settled(beside)
        taken[f"{store}: the Envoy, {count} policies"] = settled(envoy.started)
    return taken


def fill(plane: ControlPlane, have: int, want: int) -> tuple[float, int]:
    """Apply what is missing, one after the other; how many a second, and the last version (0 and 0 when none was)."""
    began, version = time.monotonic(), 0
    made = rules(want)
    for number in range(have, want):
        version = plane.apply(policy(f"policy-{number}", [made[number]]))
    return (want - have) / (time.monotonic() - began) if version else 0.0, version


def settled(process: Started, seconds: float = 20.0) -> dict[str, float]:
    """Its memory once that has stopped changing (or ``seconds`` are over)."""
    deadline = time.monotonic() + seconds
    before = process.memory()
    while time.monotonic() < deadline:
        time.sleep(SETTLE_SECONDS)
        now = process.memory()
        if abs(now["rss"] - before["rss"]) < 0.5:
            return now
        before = now
    return before


def summary(taken: dict[str, list[dict[str, float]]]) -> tuple[dict[str, Any], str]:
    """The figures, and the table that shows them."""
    results: dict[str, Any] = {}
    rows = []
    for name, runs in taken.items():
        figures = {key: spread([run[key] for run in runs]) for key in runs[0]}
        results[name] = figures
        rate = figures.get("applied_per_second", {"median": 0.0})["median"]
        sizes = [shown(figures[key], 1) for key in ("rss", "pss", "private")]
        rows.append([name, *sizes, f"{rate:.0f}" if rate else ""])
    return results, table(["process", "RSS MB", "PSS MB", "private MB", "applied/s"], rows)


if __name__ == "__main__":
    main()
