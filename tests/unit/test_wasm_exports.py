"""Taking exports away from a module (wasm_filter/exports.py)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import wasmtime

FILE = Path(__file__).parents[2] / "wasm_filter" / "exports.py"


@pytest.fixture(scope="module")
def exports() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exports", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def module() -> bytes:
    functions = "".join(f'(func (export "f{number}") (result i32) i32.const {number})' for number in range(200))
    return bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1) {functions})'))


def test_what_is_taken_away_is_gone_and_the_rest_works(exports: ModuleType, module: bytes) -> None:
    gone = {f"f{number}" for number in range(1, 199)}
    small = exports.without(module, gone)
    assert exports.exports(small) == ["memory", "f0", "f199"]
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, small), [])
    last = instance.exports(store)["f199"]
    assert isinstance(last, wasmtime.Func)
    assert last(store) == 199


def test_a_module_of_which_nothing_is_taken_stays_valid(exports: ModuleType, module: bytes) -> None:
    same = exports.without(module, ())
    assert exports.exports(same) == exports.exports(module)
    wasmtime.Module.validate(wasmtime.Engine(), same)


def test_a_list_that_is_out_of_date_is_an_error(exports: ModuleType, module: bytes) -> None:
    with pytest.raises(ValueError, match="does not export nothing"):
        exports.without(module, {"f0", "nothing"})


def test_what_is_no_module_is_an_error(exports: ModuleType) -> None:
    with pytest.raises(ValueError, match="not a WebAssembly module"):
        exports.exports(b"hello")
