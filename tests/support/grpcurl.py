"""grpcurl, as an independent witness of what a gRPC server says. Ends with the call."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.requirements import executable, missing

COMMAND = "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest"


def grpcurl_binary() -> Path:
    """From PATH, or where ``go install`` puts it. Skips the test when it is in neither."""
    places = (
        shutil.which("grpcurl"),
        *(str(Path(os.environ[name]) / "bin/grpcurl") for name in ("GOPATH",) if name in os.environ),
        str(Path.home() / "go/bin/grpcurl"),
    )
    for place in places:
        found = executable(place)
        if found is not None:
            return found
    missing("grpcurl", COMMAND)


@dataclass(frozen=True)
class Answer:
    """What a call came to: the exit code (64 plus the gRPC status code), and what was printed."""

    code: int
    out: str
    err: str

    def messages(self) -> list[dict[str, Any]]:
        """The messages that were printed, one after another."""
        decoder, text, found = json.JSONDecoder(), self.out.strip(), []
        while text:
            message, end = decoder.raw_decode(text)
            found.append(message)
            text = text[end:].lstrip()
        return found


async def grpcurl(
    address: str, *arguments: str, data: Any = None, within: float = 15.0, how: Sequence[str] = ("-plaintext",)
) -> Answer:
    """Run grpcurl; ``how`` it connects are options of its own. ``data`` is a message, or a list of messages for a
    stream, as JSON values.

    ``arguments`` come after the address: ``list``, ``describe NAME``, or ``package.Service/Method``.
    """
    command = [str(grpcurl_binary()), *how, "-max-time", str(within)]
    if data is not None:
        command += ["-d", "\n".join(json.dumps(message) for message in (data if isinstance(data, list) else [data]))]
    process = await asyncio.create_subprocess_exec(
        *command, address, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(within + 5):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Answer(process.returncode, out.decode(), err.decode())
