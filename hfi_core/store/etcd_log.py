"""What an etcd's log says of why it has ended, in a line that a person can do something about. Values in, words out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

#: Levels of which one line is enough to end an etcd.
SEVERE = frozenset({"error", "dpanic", "panic", "fatal"})
#: Lines that are told; more of them are its log's.
TOLD = 3
#: An etcd writes to files that it has made long before (two of its log's, 64 MB each): there is no little room for it.
ROOM = "some 130 MB"
LITTLE_BYTES = 1 << 20
_FULL = ("no space left on device", "disk quota exceeded")
_FORBIDDEN = ("permission denied", "read-only file system", "operation not permitted")


@dataclass(frozen=True, slots=True)
class Death:
    """Why it has ended. ``forbidden``: it may not write where it is to keep its data."""

    words: str
    forbidden: bool


def death(text: str, data_dir: Path, free_bytes: int | None) -> Death:
    """From what it has written since it was started, and how much room there is (None: nobody knows)."""
    said = _said(text)
    told = "; ".join(said[-TOLD:]) or "it has said nothing"
    low = told.lower()
    # Where there is no room, its log may have ended before it could say so.
    if any(sign in low for sign in _FULL) or (free_bytes is not None and free_bytes < LITTLE_BYTES):
        return Death(f"the disk of {data_dir} is full, and etcd needs {ROOM} there: {told}", forbidden=False)
    if any(sign in low for sign in _FORBIDDEN):
        return Death(f"etcd may not write to {data_dir}: {told}", forbidden=True)
    return Death(told, forbidden=False)


def _said(text: str) -> list[str]:
    """Its complaints; what is less than that only where there is none. Never a stack: a panic has said why before."""
    severe: list[str] = []
    rest: list[str] = []
    stack = False
    for line in text.splitlines():
        entry = _entry(line)
        if entry is None:
            stack = stack or line.startswith("goroutine ")
            told = any(line == f"panic: {one.partition(': ')[0]}" for one in severe)
            if line.strip() and not stack and not told and not line.startswith("{"):  # Which is half of an entry.
                rest.append(line.strip())
            continue
        stack = False
        message, error = str(entry.get("msg", "")), str(entry.get("error", ""))
        words = f"{message}: {error}" if error else message
        if entry.get("level") not in SEVERE:
            rest.append(words)
        elif words not in severe:
            severe.append(words)
    return severe or rest


def _entry(line: str) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
