"""``python benchmarks/xds``: every target of the xDS server, measured in one run."""

from __future__ import annotations

import sys
from pathlib import Path

# This file's own directory is where Python looks first; what the benchmarks share is one higher.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from xds.command import main  # noqa: E402  (it is found only now)

main()
