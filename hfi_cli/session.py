"""What the commands that talk to a server have in common: the options, the client, and errors as exit codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hfi_cli.choices import Output
from hfi_cli.console import err
from hfi_cli.errors import ClientError, ExitCode, NotReachable, UsageError
from hfi_core.errors import HfiError, SettingsInvalid, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hfi_cli.client import HfiClient

SERVER_HELP = "The control plane's HTTP address."
OUTPUT_HELP = "How to print the result."

ServerOption = Annotated[
    str | None, typer.Option("--server", metavar="URL", help=SERVER_HELP, show_default=False, rich_help_panel="Global")
]
OutputOption = Annotated[
    Output | None, typer.Option("--output", "-o", help=OUTPUT_HELP, show_default=False, rich_help_panel="Global")
]

FilesOption = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", metavar="FILE|DIR|-", help="YAML or JSON; may be given several times.", show_default=False
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Let the server check everything, and write nothing.")]


@dataclass(frozen=True, slots=True)
class Globals:
    """The options given before the command's name."""

    server: str
    output: Output
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One command's connection and the form of its output."""

    client: HfiClient
    output: Output


def form(ctx: typer.Context, output: Output | None) -> Output:
    """The form of output: of the command itself, or of the program."""
    return output or _globals(ctx).output


@contextmanager
def connect(ctx: typer.Context, server: str | None, output: Output | None) -> Iterator[Session]:
    """A session; options of the command itself win over those of the program. Errors end it with their exit code."""
    from hfi_cli.client import HfiClient
    from hfi_cli.tls import ClientTls

    given = _globals(ctx)
    with errors_to_exit_codes():
        tls = ClientTls(given.ca, given.cert, given.key)
        with HfiClient(server or given.server, tls=tls) as client:
            yield Session(client, form(ctx, output))


@contextmanager
def errors_to_exit_codes() -> Iterator[None]:
    """Print an error of HFI's for people, and exit with the code that it means."""
    try:
        yield
    except HfiError as error:
        complain(str(error))
        raise typer.Exit(exit_code(error)) from error


def exit_code(error: HfiError) -> ExitCode:
    """What an error means to a script."""
    match error:
        case NotReachable() | StoreUnavailable():
            return ExitCode.NOT_REACHABLE
        case UsageError() | SettingsInvalid():
            return ExitCode.USAGE
        case ClientError() | _:
            return ExitCode.REFUSED


def complain(message: str, details: Sequence[str] = ()) -> None:
    """An error, on standard error, with its details below it."""
    from rich.text import Text

    console = err()
    console.print(Text.assemble(("error: ", "bold red"), message))
    for detail in details:
        console.print(Text(f"  {detail}"))


def warn(message: str) -> None:
    """What was done as asked, and is probably not what was meant: on standard error, and no reason for another code."""
    from rich.text import Text

    err().print(Text.assemble(("warning: ", "bold yellow"), message))


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """``k=v`` options, each key once. Raises :class:`~hfi_cli.errors.UsageError`."""
    found: dict[str, str] = {}
    for text in texts:
        for part in text.split(","):
            key, equals, value = part.strip().partition("=")
            if not equals or not key:
                raise UsageError(f"{option} wants KEY=VALUE, not {text!r}")
            if found.setdefault(key, value) != value:
                raise UsageError(f"{option} names {key} twice, with different values")
    return found


def _globals(ctx: typer.Context) -> Globals:
    found = ctx.find_root().obj
    assert isinstance(found, Globals), "the program's callback has run"
    return found
