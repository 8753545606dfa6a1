"""How far chance may stray, exactly: bounds of the binomial distribution, for tests that must not fail by bad luck."""

from __future__ import annotations

from math import exp, lgamma, log

#: How seldom a right result is out of bounds, by each bound.
RISK = 1e-9


def most(count: int, share: float, risk: float = RISK) -> int:
    """So many of ``count`` draws hit, or fewer, but for ``risk``; each hits with ``share``, neither 0 nor 1."""
    left = 1.0
    for hits in range(count + 1):
        ways = lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1)
        left -= exp(ways + hits * log(share) + (count - hits) * log(1 - share))
        if left <= risk:
            return hits
    return count


def least(count: int, share: float, risk: float = RISK) -> int:
    """So many hit, or more, but for ``risk``."""
    return count - most(count, 1 - share, risk)
