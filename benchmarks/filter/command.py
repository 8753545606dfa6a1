"""The command: which measurements there are, the rounds that go through all of them, the table of targets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from harness import Bench, allow_files, reported_errors
from targets import Measurement, arguments_for, asked, go_round, tell

from filter import delays, footprint, growth, passing, replaced, takeover
from filter.setting import Setting, Starter

ABOUT = "HFI's filter beside no filter and beside Envoy's own: every target, everything in one run, in turn."
#: In the order of the table.
PARTS: Sequence[tuple[Sequence[str], Starter]] = (
    (passing.NAMES, passing.Passing),
    (delays.NAMES, delays.Delays),
    (replaced.NAMES, replaced.Replaced),
    (takeover.NAMES, takeover.Takeover),
    (footprint.NAMES, footprint.Footprint),
    (growth.NAMES, growth.Growth),
)


def main() -> None:
    """Measure, print, write."""
    options = _options()
    with reported_errors(), Bench() as bench:
        allow_files(8 * max(options.at_once) + 1024)
        setting = Setting(bench, options)
        parts: list[Measurement] = []
        for names, start in PARTS:
            wanted = frozenset(names) & frozenset(options.only or names)
            if wanted:
                parts.append(start(setting, wanted))
        failed = go_round(parts, options.rounds)
        rows = [row for part in parts for row in part.rows()]
        details = [part.detail() for part in parts]
    tell("filter", options, rows, details)
    if failed:
        sys.exit(1)


def _options() -> argparse.Namespace:
    names = [name for part, _ in PARTS for name in part]
    parser = arguments_for(ABOUT, names)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each variant is loaded in a round")
    parser.add_argument("--connections", type=int, default=32, help="kept by the load at once")
    parser.add_argument("--rules", type=int, default=10_000, help="in a large set")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 100, 1000], help="requests in delay at once")
    parser.add_argument("--delay-ms", type=int, default=250, help="the delay that is asked for")
    parser.add_argument("--snapshots", type=int, default=1000, help="sent one after the other to see memory grow")
    options = asked(parser, names)
    if options.rounds < 1:
        parser.error("at least one round is needed")
    return options
