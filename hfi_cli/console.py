"""What is printed, and how: tables for people, JSON and YAML for programs. Colours only on a terminal.

Results go to standard output, everything else (errors, progress, notes) to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hfi_cli.choices import Output

#: Rich would fold a table to 80 columns when the output is a file or a pipe; there, lines are for programs.
PIPE_WIDTH = 10_000


def out() -> Console:
    """Standard output, as it is now. Rich itself sees to ``NO_COLOR`` and to what is no terminal."""
    return _console(stderr=False)


def err() -> Console:
    """Standard error, as it is now."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False, soft_wrap=width is not None)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in HFI's one style: no frames, so that it can be cut with the usual tools."""
    made = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left", title_style="bold")
    for column in columns:
        made.add_column(column)
    return made


def row(to: Table, *cells: str | Text | int | float | None) -> None:
    """Add a row. Texts are shown as they are: a policy's name cannot be markup."""
    to.add_row(*(cell if isinstance(cell, Text) else Text("-" if cell is None else str(cell)) for cell in cells))


def show_table(made: Table, empty: str) -> None:
    """Print a table, or say on standard error that there is nothing to show."""
    if made.row_count:
        out().print(made)
    else:
        err().print(empty)


def show_data(value: Any, output: Output) -> None:
    """Print a value for a program. A list becomes one YAML document for each element, which ``apply -f -`` reads."""
    if output is Output.json:
        print_raw(_json(value, indent=2))
        return
    from hfi_sse.media import dump_yaml  # Here: it brings starlette along.

    documents: Sequence[Any] = value if isinstance(value, list) else [value]
    print_raw("---\n".join(dump_yaml(document) for document in documents).rstrip("\n"))


def print_raw(text: str) -> None:
    """Print a text exactly as it is, and at once: who reads a pipe waits for it."""
    sys.stdout.write(text + "\n" if text else "")
    sys.stdout.flush()


def json_line(value: Any) -> str:
    """A value as one line of JSON."""
    return _json(value, indent=None)


def _json(value: Any, indent: int | None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        # A pipe of another encoding, or half a surrogate pair that somebody wrote into a body.
        return json.dumps(value, indent=indent)
    return text
