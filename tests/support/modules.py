"""Filter modules for tests: small ones, written as text, that any proxy-wasm host could run."""

from __future__ import annotations

import functools

import wasmtime

#: What a host wants of every module.
WHOLE = """
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
"""


@functools.cache
def module(marker: str = "one", *, parts: str = WHOLE, configure: str = "(i32.const 1)", imports: str = "") -> bytes:
    """A module; ``marker`` makes its bytes differ, and ``configure`` is what it answers to its configuration."""
    on_configure = f'(func (export "proxy_on_configure") (param i32 i32) (result i32) {configure})'
    text = f'(module {imports} {parts} {on_configure} (data (i32.const 0) "{marker}"))'
    return bytes(wasmtime.wat2wasm(text))


def padded(code: bytes, size: int) -> bytes:
    """The same module with a custom section that makes it ``size`` bytes long."""
    rest = size - len(code) - 1 - 5
    body = b"\x03pad" + bytes(rest - 4)
    length = len(body)
    leb = bytes([length >> shift & 0x7F | (0x80 if shift < 28 else 0) for shift in range(0, 35, 7)])
    return code + b"\x00" + leb + body
