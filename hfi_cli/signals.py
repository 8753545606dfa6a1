"""Running a coroutine until it ends or the process is told to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own. SIGINT or SIGTERM cancel it, also while it is still starting, and that is no error.

    Only the first signal is taken: if the end does not come, the next one has its usual effect.
    """
    asyncio.run(_until_signalled(main))


async def _until_signalled(main: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(main)
    signalled = False

    def end() -> None:
        nonlocal signalled
        signalled = True
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        await task
    except asyncio.CancelledError:
        if not signalled:
            raise
