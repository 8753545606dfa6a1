"""Looks into a filter module before it is accepted: it parses, speaks proxy-wasm, asks for nothing that Envoy has not,
and can be instantiated.

In a process of its own, as ``hfi_core.policy.compilation``: the compiler takes some 40 MB that are never given back,
and the module is a stranger's: a start function that never ends is ended with its process.

Run as a program this reads a module from standard input and writes what it found to standard output, as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from hfi_core.errors import ModuleRefused, ModuleUnavailable

DEADLINE_SECONDS = 60
#: What Envoy 1.40 can speak (proxy-wasm-cpp-host, ``getABIVersion``), newest first.
ABI_EXPORTS = ("proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0")
#: What the host calls, or needs, in every plugin with a root context.
REQUIRED_EXPORTS = {
    "memory": "memory",
    "proxy_on_context_create": "func",
    "proxy_on_vm_start": "func",
    "proxy_on_configure": "func",
}
#: The host asks the module for memory by either name.
ALLOCATORS = ("proxy_on_memory_allocate", "malloc")
_IMPORTS = {"env": re.compile("proxy_[a-z_]+"), "wasi_snapshot_preview1": re.compile("[a-z_]+")}
_MAGIC = b"\0asm\1\0\0\0"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a module that can be run. ``abi`` is its version of proxy-wasm, such as ``0.2.1``."""

    abi: str


def inspect_module(code: bytes) -> Inspection:
    """Look into a module; takes a second or so, and blocks.

    Raises :class:`ModuleRefused` with all that is wrong; :class:`ModuleUnavailable` when it could not be looked into.
    """
    if not code.startswith(_MAGIC):
        raise ModuleRefused(["it is no WebAssembly module: it does not begin with \\0asm and version 1"])
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"]
    try:
        done = subprocess.run(command, input=code, capture_output=True, timeout=DEADLINE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ModuleRefused([f"it did not get ready within {DEADLINE_SECONDS} s"]) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise ModuleUnavailable(f"the module could not be looked into: {error}") from error
    if done.returncode < 0:
        raise ModuleRefused([f"looking into it ended with signal {-done.returncode}"])
    if done.returncode > 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ModuleUnavailable(f"the module could not be looked into: {said[-1] if said else done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    if found["problems"]:
        raise ModuleRefused(found["problems"])
    return Inspection(found["abi"])


def main() -> None:
    """The program."""
    sys.stdout.write(json.dumps(_look(sys.stdin.buffer.read())))


def _look(code: bytes) -> dict[str, Any]:
    import wasmtime

    engine = wasmtime.Engine()
    try:
        module = wasmtime.Module(engine, code)
    except wasmtime.WasmtimeError as error:
        return {"problems": [f"it does not parse: {_words(error)}"]}
    kinds = {wasmtime.FuncType: "func", wasmtime.MemoryType: "memory"}
    exports = {export.name: kinds.get(type(export.type), "other") for export in module.exports}
    problems = [
        f"it does not export the {kind} {name}, which proxy-wasm needs"
        for name, kind in REQUIRED_EXPORTS.items()
        if exports.get(name) != kind
    ]
    if not any(exports.get(name) == "func" for name in ALLOCATORS):
        problems.append(f"it exports neither {' nor '.join(ALLOCATORS)}, by which proxy-wasm hosts ask for memory")
    abi = next((name for name in ABI_EXPORTS if name in exports), None)
    if abi is None:
        other = [name for name in exports if name.startswith("proxy_abi_version_")]
        problems.append(f"it speaks {other[0] if other else 'no version of proxy-wasm'}, and not {ABI_EXPORTS[0]}")
    for wanted in module.imports:
        known = _IMPORTS.get(wanted.module)
        if known is None or known.fullmatch(wanted.name or "") is None:
            problems.append(f"it imports {wanted.module}.{wanted.name}, which Envoy does not offer")
    if not problems:
        linker = wasmtime.Linker(engine)
        # Nothing may be called while it comes about: Envoy calls a module only when it is instantiated.
        linker.define_unknown_imports_as_traps(module)
        try:
            linker.instantiate(wasmtime.Store(engine), module)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            problems.append(f"it cannot be instantiated: {_words(error)}")
    return {"problems": problems, "abi": (abi or "").removeprefix("proxy_abi_version_").replace("_", ".")}


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
