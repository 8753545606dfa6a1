"""The command: which measurements there are, one after the other with all its rounds, the table of targets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from harness import Bench, allow_files, reported_errors
from targets import Row, arguments_for, asked, go_round, tell

from xds import acked, failover, fanout, flood
from xds.setting import Setting, Starter

ABOUT = "HFI's xDS server: every target, in one run."
#: In the order of the table.
PARTS: Sequence[tuple[Sequence[str], Starter]] = (
    (fanout.NAMES, fanout.Fanout),
    (acked.NAMES, acked.Acked),
    (failover.NAMES, failover.Failover),
    (flood.NAMES, flood.Flood),
)


def main() -> None:
    """Measure, print, write."""
    options = _options()
    rows: list[Row] = []
    details: list[tuple[dict[str, Any], str]] = []
    failed = False
    with reported_errors():
        allow_files(4 * options.streams + 1024)
        for names, start in PARTS:
            wanted = frozenset(names) & frozenset(options.only or names)
            if wanted:
                # Each with processes of its own: two thousand streams would be in the figures of the others.
                with Bench() as bench:
                    parts = [start(Setting(bench, options), wanted)]
                    failed |= go_round(parts, options.rounds)
                    rows += [row for part in parts for row in part.rows()]
                    details += [part.detail() for part in parts]
    tell("xds", options, rows, details)
    if failed:
        sys.exit(1)


def _options() -> argparse.Namespace:
    names = [name for part, _ in PARTS for name in part]
    parser = arguments_for(ABOUT, names)
    parser.add_argument("--streams", type=int, default=2000, help="that are told of one change")
    parser.add_argument("--commits", type=int, default=500, help="until the ACK of one Envoy, in all")
    parser.add_argument("--changes", type=int, default=100_000, help="at full speed, in all")
    options = asked(parser, names)
    if min(options.rounds, options.streams, options.commits, options.changes) < 1:
        parser.error("at least one of each is needed")
    return options
