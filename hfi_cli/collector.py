"""Python's garbage collector, for a server that holds thousands of streams.

It looks for cycles among all objects that live, again and again as objects come to be: with two thousand streams that
was a third of the time that one change took to reach them. What there is when the server has started stays for ever,
and is not looked at again; what comes later is looked at less often. Most garbage is no cycle, and goes at once.
"""

from __future__ import annotations

import gc

#: How many more objects there must be before the young ones are looked at (Python: 700), and how many such looks
#: before the older ones are (10), and the oldest (10).
THRESHOLDS = (50_000, 20, 50)


def settle() -> None:
    """To be called once, when everything has started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
