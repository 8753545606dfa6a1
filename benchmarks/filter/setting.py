"""What all measurements share: the run's options and processes, and the control plane, started when it is needed."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import envoys
from control import ControlPlane, serve
from envoys import Envoy
from harness import Bench, processors
from targets import Measurement


@dataclass
class Setting:
    """One run. ``busy`` is the processor of the Envoys that are measured, ``rest`` that of everything else."""

    bench: Bench
    options: argparse.Namespace
    busy: int | None = field(default_factory=lambda: processors()[0])
    rest: int | None = field(default_factory=lambda: processors()[1])

    @functools.cached_property
    def to(self) -> int:
        """The upstream's port."""
        return envoys.upstream(self.bench, self.rest)

    @functools.cached_property
    def plane(self) -> ControlPlane:
        """The control plane, as users run it."""
        return serve(self.bench, ["--store", "memory"], self.rest)

    def peer(self, name: str, filters: Sequence[dict[str, Any]]) -> Envoy:
        """An Envoy without HFI."""
        return envoys.peer(self.bench, name, self.to, filters, self.busy)

    def hfi(
        self,
        name: str,
        documents: Sequence[dict[str, Any]] = (),
        alone: bool = True,
        http: int | None = None,
        workers: int = 1,
        to: int | None = None,
    ) -> Envoy:
        """An Envoy with HFI's filter, which runs and has these policies.

        ``http`` names another source of rules, ``to`` another upstream.
        """
        version = 0
        for document in documents:
            version = self.plane.apply(document)
        web = http or self.plane.http
        envoy = envoys.hfi(self.bench, name, to or self.to, web, self.plane.xds, self.busy, workers, alone)
        envoy.filter_runs()
        if version:
            envoy.sees_version(version)
        return envoy


#: Starts a measurement, given the run and the names of those of its rows that are wanted.
Starter = Callable[[Setting, frozenset[str]], Measurement]
