from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hfi_core.filters import guard as guard_module
from hfi_core.filters.state import MANIFESTS
from hfi_core.replicas import fleet as fleet_module
from tests.unit.filters.guarding import OTHER, Flaky, Replica, module, replica


@pytest.fixture
async def store(monkeypatch: pytest.MonkeyPatch) -> Flaky:
    """With two modules."""
    monkeypatch.setattr(guard_module, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(fleet_module, "TICK_SECONDS", 0.005)
    monkeypatch.setattr(fleet_module, "RETRY_SECONDS", 0.005)
    made = Flaky()
    for version in ("1", "2"):
        await made.put(MANIFESTS + version, module(version).encode())
    return made


@pytest.fixture
async def one(store: Flaky) -> AsyncIterator[Replica]:
    """A replica with a node of the stable module."""
    async with replica(store) as made:
        await made.rollouts.begin(module("1"))
        made.connect(OTHER, served="1/1")
        made.polls(OTHER)
        yield made


@pytest.fixture
async def two(one: Replica, store: Flaky) -> AsyncIterator[Replica]:
    """Another replica, to which nobody is connected."""
    async with replica(store, "r2") as made:
        yield made
