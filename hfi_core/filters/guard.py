"""Watches a rollout, and takes it back when the candidate does badly.

Every replica watches the nodes that it sees, and each may condemn; the compare-and-swap on the document lets one do it.
A replica that starts in the middle of a rollout begins to watch then.

A node may have its module from here and wait for its rules at another replica, and it is silent only when it waits at
none. After others could not be seen, what has come to an end there and what has only not been told again look alike; so
silence begins to count when they can be.

Nor need it report its errors to the replica that it has its module from: whoever they are reported to judges them, by
what the other one tells of the module.

The only place where what the data plane says changes what it is served; and that, too, goes through the store.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from hfi_core.clock import now_ms
from hfi_core.dataplane import DataPlane
from hfi_core.dataplane.names import PREFIX
from hfi_core.errors import RolloutConflict, StoreError
from hfi_core.filters.judgement import ErrorRises, Sight, Verdict, judge
from hfi_core.filters.progress import VersionOf, node_state, resource_status
from hfi_core.filters.rollout import Rollout, RolloutDocument
from hfi_core.filters.rollouts import RolloutService
from hfi_core.filters.state import FilterState
from hfi_core.following import Follower
from hfi_core.proxies import ProxyRegistry, ProxyStatus
from hfi_core.replicas.fleet import Membership

log = logging.getLogger(__name__)

#: Between two looks at the nodes while a rollout is under way.
LOOK_SECONDS = 1.0
HEARD_ELSEWHERE = "what it said was heard by another replica"
_ERRORS = PREFIX + "errors"


class RolloutGuard:
    """Acts for one replica.

    ``version_of`` says as which resource a module is served here; ``rejected`` whether a node has rejected that version
    of it, at whichever replica; ``fleet`` which nodes other replicas hear; ``clock`` answers Unix milliseconds.
    """

    def __init__(
        self,
        filters: Follower[FilterState],
        rollouts: RolloutService,
        proxies: ProxyRegistry,
        data_plane: DataPlane,
        version_of: VersionOf,
        rejected: Callable[[str, str], bool],
        fleet: Membership,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._filters = filters
        self._rollouts = rollouts
        self._proxies = proxies
        self._data_plane = data_plane
        self._version_of = version_of
        self._rejected = rejected
        self._fleet = fleet
        self._clock = clock
        #: The id of the rollout that is, or was last, watched.
        self.watching, self._began = "", 0
        self._applied: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        #: When it was last not to be known whom others hear.
        self._blind = 0
        self._rises = ErrorRises()

    async def run(self) -> None:
        """For ever; ends only by cancellation."""
        async for state in self._filters.follow():
            while self._filters.current is state and state.document is not None and state.document.active is not None:
                await self._look(state.document, state.document.active)
                await self._filters.changed_from(state, within=LOOK_SECONDS)

    async def _look(self, document: RolloutDocument, rollout: Rollout) -> None:
        verdict = self._judge(document, rollout, self._fleet.polling_elsewhere())
        if verdict is not None and verdict.cause == "silent":
            # What is followed may lag: for silence nobody is condemned before the store itself has been asked.
            try:
                elsewhere = await self._fleet.ask_polling_elsewhere()
            except StoreError as error:
                log.warning("whether other replicas hear of nodes that are silent here cannot be known: %s", error)
                self._blind = self._clock()
                return
            verdict = self._judge(document, rollout, elsewhere)
        if verdict is None:
            return
        try:
            await self._rollouts.roll_back(verdict.cause, verdict.reason, only=rollout)
            log.error("rolled filter module %s back: %s", rollout.candidate.version, verdict.reason)
        except RolloutConflict:
            log.info("another replica, or somebody, was quicker to end the rollout")
        except StoreError as error:
            log.error("filter module %s must go back, but cannot: %s", rollout.candidate.version, error)

    def _judge(self, document: RolloutDocument, rollout: Rollout, elsewhere: Collection[str] | None) -> Verdict | None:
        return judge(self.sights(document, rollout, elsewhere), rollout.limits, self._clock())

    def sights(self, document: RolloutDocument, rollout: Rollout, elsewhere: Collection[str] | None) -> list[Sight]:
        """What the nodes that are to run the candidate show now.

        ``elsewhere`` are those that wait for rules at another replica; None when that cannot be known.
        """
        now = self._clock()
        if elsewhere is None:
            self._blind = now
        if self.watching != rollout.id:
            self.watching, self._began = rollout.id, now
            for memory in (self._applied, self._waiting, self._heard):
                memory.clear()
            self._rises = ErrorRises()
        self._observe_errors(rollout, now)
        known = self._proxies.list()
        everybody = self._everybody(known)
        stable = {proxy.node.id for proxy in everybody if document.serves(proxy.node) == document.stable}
        version = self._version_of(rollout.candidate)
        if version is None:
            return []
        # Nodes that have applied it at one look share what others have had since.
        since = functools.cache(self._rises.since)
        own = [
            self._sight(proxy, version, since, stable, now, proxy.node.id in (elsewhere or ()))
            for proxy in known
            if proxy.node.id not in stable
        ]
        # Those that others have sent it, for the errors that are reported here; for all else, others look at them.
        reported = [
            self._reported(proxy.node.id, status.at_ms, since, stable, now)
            for proxy in everybody
            if proxy.node.id not in stable
            and proxy.node.id not in self._applied
            and (status := resource_status(proxy, version)) is not None
            and status.state == "acked"
        ]
        return own + reported

    def _everybody(self, known: Sequence[ProxyStatus]) -> Sequence[ProxyStatus]:
        """``known`` and, when errors come from one that has its stream elsewhere, the proxies of all replicas.

        Only then, because what others tell has to be parsed.
        """
        here = {proxy.node.id for proxy in known if proxy.xds_streams}
        return known if self._rises.nodes() <= here else [other.status for other in self._fleet.known()]

    def _sight(
        self,
        proxy: ProxyStatus,
        version: str,
        since: Callable[[int], dict[str, int]],
        stable: set[str],
        now: int,
        elsewhere: bool,
    ) -> Sight:
        node = proxy.node.id
        state, status = node_state(proxy, version), resource_status(proxy, version)
        message = status.message if status is not None else ""
        if state == "waiting" and proxy.xds_streams and self._rejected(node, version):
            state, message = "rejected", HEARD_ELSEWHERE
        if state == "waiting" and proxy.xds_streams:
            self._waiting.setdefault(node, now)
        else:
            self._waiting.pop(node, None)
        if state == "applied":
            self._applied.setdefault(node, now)
        heard = now if proxy.polling or elsewhere else max(self._heard.get(node, 0), proxy.rules_seen_ms or 0)
        self._heard[node] = heard
        applied = self._applied.get(node)
        rises = since(applied) if applied is not None else {}
        return Sight(
            node,
            state,
            message=message,
            waiting_since_ms=self._waiting.get(node),
            applied_at_ms=applied,
            heard_at_ms=heard,
            sure_since_ms=self._blind,
            errors=rises.get(node, 0),
            errors_elsewhere=_worst(rises, stable),
        )

    def _reported(
        self, node: str, applied: int, since: Callable[[int], dict[str, int]], stable: set[str], now: int
    ) -> Sight:
        rises = since(applied)
        return Sight(
            node,
            "applied",
            applied_at_ms=applied,
            heard_at_ms=now,
            errors=rises.get(node, 0),
            errors_elsewhere=_worst(rises, stable),
        )

    def _observe_errors(self, rollout: Rollout, now: int) -> None:
        """Take what nodes report; Envoy leaves out a counter that has never counted."""
        counters = self._data_plane.counters
        errors = {node: values.get(_ERRORS, 0) for node, values in counters.nodes.items()}
        # Who has started since has nothing older to tell; whose reports went to another replica until now has, whether
        # it has been connected to this one or not.
        uptimes = counters.uptimes.items() if now > self._began else ()
        fresh = {node for node, up in uptimes if now - up * 1000 >= rollout.started_at_ms}
        self._rises.observe(now, errors, fresh)
        self._rises.forget_before(now - rollout.limits.watch_seconds * 1000)


def _worst(rises: Mapping[str, int], stable: Collection[str]) -> int:
    """The most errors that one of them has had."""
    return max((rise for node, rise in rises.items() if node in stable), default=0)
