"""Waiting until the proxies have a change. Pure, but for the asking and the pause."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfi_cli.answers import PolicyDocument, Proxy, ProxyList
from hfi_cli.errors import NotDone

LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a change has come among the connected proxies that it concerns."""

    concerned: tuple[str, ...]
    lagging: tuple[str, ...]


def selector(policy: PolicyDocument) -> Mapping[str, Any]:
    """A policy's selector; empty covers every proxy."""
    found: Mapping[str, Any] = policy["spec"].get("selector", {})
    return found


def covers(selecting: Mapping[str, Any], proxy: Proxy) -> bool:
    """Whether a selector means that proxy."""
    cluster, labels = selecting.get("cluster"), selecting.get("labels", {})
    return cluster in (None, proxy["cluster"]) and all(proxy["labels"].get(key) == labels[key] for key in labels)


def progress(proxies: ProxyList, selectors: Sequence[Mapping[str, Any]], version: int) -> Progress:
    """Of the connected proxies that one of the selectors covers: which are there, and which still lag.

    A proxy that this replica has not yet heard of its rules lags; so does one whose rules are of another life of
    the store, for versions compare only within one.
    """
    concerned = [
        proxy for proxy in proxies["items"] if proxy["connected"] and any(covers(each, proxy) for each in selectors)
    ]
    lagging = [
        proxy["node"]
        for proxy in concerned
        if proxy["rules"]["version"] is None
        or proxy["rules"]["epoch"] != proxies["epoch"]
        or int(proxy["rules"]["version"]) < version
    ]
    return Progress(tuple(proxy["node"] for proxy in concerned), tuple(lagging))


def wait(
    ask: Callable[[], ProxyList],
    selectors: Sequence[Mapping[str, Any]],
    version: int,
    timeout: float,
    told: Callable[[Progress], None],
) -> Progress:
    """Ask until no proxy lags. Raises :class:`~hfi_cli.errors.NotDone`, which names the laggards."""
    deadline = time.monotonic() + timeout
    while True:
        now = progress(ask(), selectors, version)
        told(now)
        if not now.lagging:
            return now
        if time.monotonic() >= deadline:
            raise NotDone(
                f"after {timeout:g} s {len(now.lagging)} of {len(now.concerned)} proxies do not have version {version} "
                f"yet: {_some(now.lagging)}. The policy is stored, and they will have it as soon as they ask."
            )
        time.sleep(LOOK_AGAIN_SECONDS)


def _some(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
