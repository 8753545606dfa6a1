"""Logging of the processes that run for long: one line an event, as text or JSON, on standard error."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime

from hfi_cli.choices import LogFormat, LogLevel

#: Libraries that tell at INFO what HFI tells itself, or what nobody asked.
_QUIET = ("uvicorn", "httpx", "httpcore", "asyncio", "grpc")


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: ``time`` (UTC), ``level``, ``logger``, ``message``, and ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: LogLevel, form: LogFormat) -> None:
    """Set up this process's logging, once, before anything is logged."""
    handler = logging.StreamHandler(sys.stderr)
    if form is LogFormat.json:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level is not LogLevel.debug:
        # gRPC writes lines of its own, in its own form, such as one for each handshake that fails: who only looks
        # whether the port is open would fill the log. It reads this when it is first used.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        for name in _QUIET:
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
