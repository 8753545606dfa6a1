"""What was measured, and whether it is what was asked for. Pure.

Bounds that a right system practically never breaks, and a wrong one practically always:

* a rate lies within five standard deviations of a binomial distribution (a false alarm in 1.7 million runs),
* as many requests as the filter delayed took at least as long as was asked for; their median is not twice that,
* what the filter counts, what the client sees and what the service does not see agree exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hfi_cli.demo.plan import Scene

SIGMAS = 5.0
#: A timer may fire as late as the machine is busy: the median must be below this many times what was asked for.
LATE = 2.0
#: Clocks differ in their last digit: the client starts its own a little after the request is on its way.
EARLY_MS = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the client saw it. ``fault``: the answer says that HFI had a hand in it."""

    status: int
    ms: float
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """A scene's answers, how many requests the service saw, and how many faults the filter counted."""

    answers: Sequence[Answer]
    reached: int
    injected: int = 0

    @property
    def statuses(self) -> str:
        """``200 ×751, 503 ×249``."""
        counted = Counter(answer.status for answer in self.answers)
        return ", ".join(f"{status} ×{count}" for status, count in sorted(counted.items()))

    def percentile(self, share: float) -> float:
        """The latency in milliseconds that this share of the answers did not exceed (nearest rank)."""
        return percentile([answer.ms for answer in self.answers], share)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def tolerance(count: int, share: float) -> float:
    """How far from ``count * share`` a number of faults may lie."""
    return SIGMAS * math.sqrt(count * share * (1 - share))


def judge_before(scene: Scene, measured: Measured) -> list[str]:
    """What is wrong when nothing was asked for; empty when nothing is."""
    bad = sum(answer.status != 200 for answer in measured.answers)
    wrong = [f"{bad} of {scene.count} answers are not 200 without any policy"] if bad else []
    if measured.reached != scene.count:
        wrong.append(f"the service saw {measured.reached} of {scene.count} requests without any policy")
    return wrong


def judge(scene: Scene, measured: Measured) -> list[str]:
    """What is not as asked for, in words; empty when everything is."""
    count, injected = len(measured.answers), measured.injected
    wrong = []
    if abs(injected - count * scene.share) > tolerance(count, scene.share):
        wrong.append(f"{injected} of {count} is not {scene.share:.0%}, by more than chance")
    # An answer that came late may say that it is HFI's, and need not: the wait itself is what tells.
    marked = sum(answer.fault for answer in measured.answers)
    if not scene.delay_ms and marked != injected:
        wrong.append(f"the client saw {marked} faults, and the filter counts {injected}")
    aborted = marked if scene.status else 0
    if measured.reached != count - aborted:
        wrong.append(f"the service saw {measured.reached} requests and not {count - aborted}")
    strange = Counter(a.status for a in measured.answers if a.status != ((a.fault and scene.status) or 200))
    if strange:
        wrong.append(f"statuses that nobody asked for: {dict(strange)}")
    if scene.delay_ms:
        wrong += _judge_delay(scene.delay_ms, injected, measured)
    return wrong


def _judge_delay(asked_ms: int, injected: int, measured: Measured) -> list[str]:
    slowest = sorted((answer.ms for answer in measured.answers), reverse=True)[:injected]
    early = [ms for ms in slowest if ms < asked_ms - EARLY_MS]
    wrong = [f"{len(early)} delays ended early, the first after {min(early):.1f} ms"] if early else []
    if slowest and percentile(slowest, 0.5) > LATE * asked_ms:
        wrong.append(f"the median delay is {percentile(slowest, 0.5):.0f} ms, and {asked_ms} ms was asked for")
    return wrong
