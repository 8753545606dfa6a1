"""What the catalogue says of a module. Pure.

The manifest is written last, after every piece of the code, and once: a module that has one is there whole.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr

#: Envoy takes a module inline without any limit of its own; the store, and every stream, has to carry it.
MAX_MODULE_BYTES = 8 << 20
MAX_NOTE = 1_024
_VERSION = re.compile(r"[0-9A-Za-z]([-0-9A-Za-z.+_]{0,62}[0-9A-Za-z])?")
#: A version stands in addresses, where this word is a resource of its own.
RESERVED_VERSION = "rollout"


def version_problem(version: str) -> str | None:
    """What is wrong with the version of a module, or None."""
    if version == RESERVED_VERSION or _VERSION.fullmatch(version) is None:
        return (
            f"{version!r} is no version of a module: letters, digits, '.', '-', '+' and '_', beginning and ending with "
            "a letter or digit, at most 64, such as 1.4.0"
        )
    return None


def note_problem(note: str) -> str | None:
    """What is wrong with the note of a module, or None."""
    if len(note) > MAX_NOTE or not note.isprintable():
        return f"a note is one line of at most {MAX_NOTE:,} characters"
    return None


def _version(value: str) -> str:
    if problem := version_problem(value):
        raise ValueError(problem)
    return value


class Manifest(BaseModel):
    """One module of the catalogue. ``digest`` is the hex SHA-256 of its ``size`` bytes; ``abi`` its proxy-wasm version.

    The code lies in the store in pieces of ``piece_bytes``, the last one shorter. ``pushed_at_ms`` is Unix time. What a
    newer HFI adds is ignored.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Annotated[StrictStr, AfterValidator(_version)]
    digest: Annotated[StrictStr, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[StrictInt, Field(ge=1, le=MAX_MODULE_BYTES)]
    piece_bytes: Annotated[StrictInt, Field(ge=1)]
    abi: StrictStr
    note: StrictStr = ""
    pushed_at_ms: StrictInt

    @property
    def pieces(self) -> tuple[str, ...]:
        """The keys of the pieces, in order."""
        return piece_keys(self.digest, self.size, self.piece_bytes)

    def encode(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json().encode()


def piece_keys(digest: str, size: int, piece_bytes: int) -> tuple[str, ...]:
    """Where the pieces of a module lie. By digest and size of pieces: a key has one right value for ever."""
    return tuple(f"{digest}/{piece_bytes}/{number:05d}" for number in range(-(-size // piece_bytes)))
