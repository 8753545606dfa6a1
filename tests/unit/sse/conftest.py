from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.sse.plane import Plane, running


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    async with running() as found:
        yield found
