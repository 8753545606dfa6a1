"""A directory with an authority and what it has signed: ``NAME.pem`` and ``NAME-key.pem``."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hfi_cli.certs.issue import Authority, Pair, Usage
from hfi_core.errors import SettingsInvalid

CA, SERVER, CLIENT = "ca", "server", "client"
#: The authority's own life, in those of what it signs.
CA_LIVES = 10


def make(directory: Path, hosts: Sequence[str], nodes: Sequence[str], now: datetime, days: int) -> list[Path]:
    """The authority, if there is none yet; and, always new, the certificates of the server, of ``hfi-cli`` and of each
    node. Answers the certificates' files. Raises :class:`~hfi_core.errors.SettingsInvalid`."""
    stems = [file_name(node) for node in nodes]
    twice = {stem for stem in stems if stems.count(stem) > 1} | {CA, SERVER, CLIENT}.intersection(stems)
    if twice:
        raise SettingsInvalid(f"two certificates would be {min(twice)}.pem; make one of them in another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        authority = _authority(directory, now, days)
        pairs = {
            SERVER: authority.issue("HFI control plane", hosts, Usage.SERVER, now, days),
            CLIENT: authority.issue("hfi-cli", (), Usage.CLIENT, now, days),
        }
        for stem, node in zip(stems, nodes, strict=True):
            pairs[stem] = authority.issue(node, [node], Usage.CLIENT, now, days)
        for stem, pair in pairs.items():
            _write(directory, stem, pair)
    except OSError as error:
        raise SettingsInvalid(f"{error.filename or directory}: {error.strerror}") from error
    return [directory / f"{stem}.pem" for stem in (CA, *pairs)]


def file_name(node_id: str) -> str:
    """What a node's files are called: its id, or for a URI what is behind the scheme, with ``_`` for all that a file's
    name had better not hold."""
    return re.sub(r"[^A-Za-z0-9.~-]", "_", node_id.partition("://")[2] or node_id)


def _authority(directory: Path, now: datetime, days: int) -> Authority:
    cert, key = directory / f"{CA}.pem", directory / f"{CA}-key.pem"
    if cert.exists() != key.exists():
        raise SettingsInvalid(f"of {cert} and {key} there is only one; give another directory")
    if cert.exists():
        return Authority(Pair(cert.read_bytes(), key.read_bytes()))
    authority = Authority.create(now, days * CA_LIVES)
    _write(directory, CA, authority.pair)
    return authority


def _write(directory: Path, stem: str, pair: Pair) -> None:
    _replace(directory / f"{stem}-key.pem", pair.key, 0o600)
    _replace(directory / f"{stem}.pem", pair.cert, 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """In one step: who reads meanwhile gets the old one or the new one. The mode is there before the content is."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
