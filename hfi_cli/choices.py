"""The closed sets of words that options take. Here alone, so that reading the command line loads nothing else."""

from __future__ import annotations

from enum import StrEnum


class Output(StrEnum):
    """The forms of output."""

    table = "table"
    json = "json"
    yaml = "yaml"


class StoreKind(StrEnum):
    """Where policies are kept."""

    embedded = "embedded"
    memory = "memory"
    etcd = "etcd"


class LogLevel(StrEnum):
    """How much is told."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class LogFormat(StrEnum):
    """The form of a line of the log."""

    text = "text"
    json = "json"
