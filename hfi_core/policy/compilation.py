"""Compiles a WebAssembly module in a process of its own.

The compiler takes some 40 MB that are never given back, for a second's work; a control plane is to live for
months in less than 100 MB. So a child compiles, hands the machine code over, and is gone.

Run as a program this reads a module from standard input and writes its compiled form to standard output.
"""

from __future__ import annotations

import subprocess
import sys

from hfi_core.errors import ModuleUnavailable

#: A second on an idle core; the rest is for machines that are busy starting everything at once.
DEADLINE_SECONDS = 120


def compile_apart(code: bytes) -> bytes:
    """The compiled form of a module, for ``wasmtime.Module.deserialize`` of the same wasmtime on this machine.

    Raises :class:`ModuleUnavailable` when it is not a module, or the compiler fails.
    """
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"]
    try:
        done = subprocess.run(command, input=code, capture_output=True, timeout=DEADLINE_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise ModuleUnavailable(f"the rule engine's compiler did not run: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ModuleUnavailable(f"the rule engine could not be compiled: {said[-1] if said else done.returncode}")
    return done.stdout


def main() -> None:
    """The program."""
    import wasmtime

    compiled = wasmtime.Module(wasmtime.Engine(), sys.stdin.buffer.read()).serialize()
    sys.stdout.buffer.write(compiled)
