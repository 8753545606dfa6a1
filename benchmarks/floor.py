"""The least that a Wasm filter can cost: modules of a few instructions, to tell HFI's own work from its host's.

Each is written in WebAssembly text. ``calls`` is how often it asks the host for ``:path`` while it handles a request's
headers, so the difference between two of them is the price of a host call. ``every_callback`` also exports the other
callbacks of a stream, each empty, as a module built with an SDK does: Envoy crosses into the VM for each of them.
"""

from __future__ import annotations

from typing import Any

import envoys
import wasmtime
from harness import Bench

#: What else Envoy calls in the life of a request without body: name and number of parameters, and whether it answers.
_OTHERS = (
    ("proxy_on_response_headers", 3, True),
    ("proxy_on_request_body", 3, True),
    ("proxy_on_response_body", 3, True),
    ("proxy_on_request_trailers", 2, True),
    ("proxy_on_response_trailers", 2, True),
    ("proxy_on_done", 1, True),
    ("proxy_on_log", 1, False),
    ("proxy_on_delete", 1, False),
)


def module(calls: int, every_callback: bool = False) -> bytes:
    """The module, assembled. Memory below 1 KB holds the name ``:path`` and where the host puts its answer."""
    ask = "(drop (call $get (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 32) (i32.const 36)))" * calls
    others = ""
    if every_callback:
        for name, parameters, answers in _OTHERS:
            # proxy_on_done answers 1: nothing is left to do. The others answer 0: go on.
            value = "1" if name == "proxy_on_done" else "0"
            result, body = ("(result i32)", f"(i32.const {value})") if answers else ("", "")
            others += f'(func (export "{name}") (param {"i32 " * parameters}) {result} {body})\n'
    text = f"""
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) ":path")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {ask} (i32.const 0))
  {others})
"""
    return bytes(wasmtime.wat2wasm(text))


def filter(bench: Bench, calls: int, every_callback: bool = False) -> dict[str, Any]:
    """That module as an entry of ``http_filters``."""
    file = bench.directory / f"floor-{calls}-{every_callback}.wasm"
    file.write_bytes(module(calls, every_callback))
    return envoys.wasm_filter(str(file))
