"""Sends a scene's requests, a bounded number at once, and times each."""

from __future__ import annotations

import asyncio
import time

import httpx

from hfi_cli.demo.plan import Scene
from hfi_cli.demo.verdict import Answer
from hfi_cli.errors import NotDone

#: By this header an answer says that HFI had a hand in it.
FAULT_HEADER = "x-hfi-fault"
TIMEOUT_SECONDS = 30.0


async def send(base_url: str, scene: Scene) -> list[Answer]:
    """The answers, in the order in which they came. Raises :class:`~hfi_cli.errors.NotDone` when there is none."""
    answers: list[Answer] = []
    left = iter(range(scene.count))

    async def sender() -> None:
        # A client and so a connection each: httpx' pool, shared, would be the slowest part of what is measured.
        # Not verify: this is plain HTTP, and each client would load the system's certificates.
        async with httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT_SECONDS, trust_env=False, verify=False) as http:
            for _ in left:
                started = time.perf_counter()
                response = await http.request(scene.method, scene.path)
                took = (time.perf_counter() - started) * 1000
                answers.append(Answer(response.status_code, took, FAULT_HEADER in response.headers))

    try:
        async with asyncio.TaskGroup() as senders:
            for _ in range(scene.at_once):
                senders.create_task(sender())
    except* httpx.HTTPError as errors:
        raise NotDone(f"{scene.request} by way of Envoy failed: {errors.exceptions[0]!r}") from errors
    return answers
