"""What the tests of the xDS server share."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever clients do, nothing is an error of ours: no traceback, no task that nobody awaited."""
    yield
    loud = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not loud, [(record.name, record.getMessage(), record.exc_text) for record in loud]


@pytest_asyncio.fixture(loop_scope="session")
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What is entered ends with the test, in the loop that gRPC has."""
    async with AsyncExitStack() as entered:
        yield entered
