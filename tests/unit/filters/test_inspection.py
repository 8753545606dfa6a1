from __future__ import annotations

from pathlib import Path

import pytest

from hfi_core.errors import ModuleRefused, ModuleUnavailable
from hfi_core.filters.shipped import INSPECTED
from hfi_core.modules import inspection
from hfi_core.modules.catalogue import FILTER, VALIDATOR, load_module
from hfi_core.modules.inspection import inspect_module
from tests.support.modules import WHOLE, module, padded


def test_what_ships_passes() -> None:
    assert inspect_module(load_module(FILTER).code) == INSPECTED


def test_a_small_module_passes_and_says_which_abi_it_speaks() -> None:
    assert inspect_module(module()).abi == "0.2.1"
    assert inspect_module(module(parts=WHOLE.replace("0_2_1", "0_2_0"))).abi == "0.2.0"
    assert inspect_module(padded(module(), 100_000)).abi == "0.2.1"


REFUSED = {
    "empty": (b"", "no WebAssembly module"),
    "another file": (b"\x7fELF" + bytes(100), "no WebAssembly module"),
    "cut off": (module()[:-10], "does not parse"),
    "no abi": (module(parts=WHOLE.replace("proxy_abi_version_0_2_1", "other")), "speaks no version of proxy-wasm"),
    "old abi": (module(parts=WHOLE.replace("0_2_1", "0_1_0")), "speaks proxy_abi_version_0_1_0, and not"),
    "no memory": (module(parts=WHOLE.replace('(export "memory")', "")), "does not export the memory memory"),
    "not a function": (
        module(
            parts=WHOLE.replace("proxy_on_vm_start", "x") + '(global (export "proxy_on_vm_start") i32 (i32.const 1))'
        ),
        "does not export the func proxy_on_vm_start",
    ),
    "no allocator": (module(parts=WHOLE.replace("malloc", "alloc")), "neither proxy_on_memory_allocate nor malloc"),
    "foreign import": (module(imports='(import "env" "open" (func))'), "imports env.open, which Envoy does not offer"),
    "foreign room": (module(imports='(import "js" "proxy_log" (func))'), "imports js.proxy_log"),
    "traps at its start": (module(parts=WHOLE + "(func $s unreachable) (start $s)"), "cannot be instantiated"),
    "the wrong kind of import": (module(imports='(import "env" "proxy_x" (func $x)) (start $x)'), "cannot be instant"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_envoy_could_run_is_refused(name: str) -> None:
    code, reason = REFUSED[name]
    with pytest.raises(ModuleRefused, match=reason):
        inspect_module(code)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ModuleRefused) as refused:
        inspect_module(load_module(VALIDATOR).code)
    assert len(refused.value.reasons) >= 4


def test_a_start_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "DEADLINE_SECONDS", 3)
    with pytest.raises(ModuleRefused, match="did not get ready within 3 s"):
        inspect_module(module(parts=WHOLE + "(func $s (loop (br 0))) (start $s)"))


def test_a_python_that_does_not_run_is_no_fault_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection.sys, "executable", "/nowhere/python")
    with pytest.raises(ModuleUnavailable, match="could not be looked into"):
        inspect_module(module())


@pytest.mark.parametrize(
    ("end", "error", "words"),
    [
        ("echo no memory >&2; exit 3", ModuleUnavailable, "could not be looked into: no memory"),
        ("exit 3", ModuleUnavailable, "could not be looked into: 3"),
        ("kill -SEGV $$", ModuleRefused, "looking into it ended with signal 11"),
    ],
)
def test_an_inspector_that_ends_early_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str, error: type[Exception], words: str
) -> None:
    inspector = tmp_path / "inspector"
    inspector.write_text(f"#!/bin/sh\ncat >/dev/null\n{end}\n")
    inspector.chmod(0o755)
    monkeypatch.setattr(inspection.sys, "executable", str(inspector))
    with pytest.raises(error, match=words):
        inspect_module(module())
