"""The least that a Wasm filter can cost: modules of a few instructions, to tell HFI's own work from its host's.

Each is written in WebAssembly text. The difference between one that asks the host something ten times and one that asks
nothing is the price of a host call. ``every_callback`` also exports the other callbacks of a stream, each empty, as a
module built with an SDK does: Envoy crosses into the VM for each of them. ``needed`` and ``aborting_as_needed`` do what
HFI's filter cannot do without, and nothing else: its callbacks, each empty; the headers of the request, asked for all
at once; and for an abort, the name of the rule left for access logs and in a header of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
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
_FOUND, _MISSING = ":path", "x-not-there"
#: Those of them that HFI's filter has (``tests/unit/test_filter_exports.py``).
_NEEDED = ("response_headers", "response_body", "response_trailers", "delete")
_STATE, _DETAILS, _RULE = "hfi.fault", "hfi_fault", "policy/rule"
_MARK = "x-hfi-fault"


def module(ask: str = "", calls: int = 0, abort: int = 0, every_callback: bool = False) -> bytes:
    """The module, assembled. It asks ``calls`` times for the header ``ask``, and then goes on, or answers ``abort``."""
    # Memory below 1 KB holds the name, and where the host puts its answer.
    call = f"(drop (call $get (i32.const 0) (i32.const 64) (i32.const {len(ask)}) (i32.const 32) (i32.const 36)))"
    body = call * calls
    if abort:
        # No details, body or headers; -1: no gRPC status. 1: the request goes no further.
        body += f"(drop (call $answer (i32.const {abort}) {'(i32.const 0) ' * 6} (i32.const -1)))"
    text = f"""
(module
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "{ask}")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const {1 if abort else 0}))
  {_others(_OTHERS) if every_callback else ""})
"""
    return bytes(wasmtime.wat2wasm(text))


def needed_module(abort: int = 0) -> bytes:
    """What HFI's filter must do for a request that rules might be about; with ``abort``, for one that it answers."""
    mark = b"".join(
        [*(number.to_bytes(4, "little") for number in (1, len(_MARK), len(_RULE))), f"{_MARK}\0{_RULE}\0".encode()]
    )
    texts = {"state": _STATE.encode(), "details": _DETAILS.encode(), "rule": _RULE.encode(), "mark": mark}
    places = {name: 1024 + 256 * number for number, name in enumerate(texts)}
    data = "".join(f'(data (i32.const {places[name]}) "{_escaped(text)}")' for name, text in texts.items())

    def of(name: str) -> str:
        return f"(i32.const {places[name]}) (i32.const {len(texts[name])})"

    body = "(drop (call $headers (i32.const 0) (i32.const 32) (i32.const 36)))"
    if abort:
        body += f"(drop (call $leave {of('state')} {of('rule')}))"
        answer = f"(i32.const {abort}) {of('details')} (i32.const 0) (i32.const 0) {of('mark')} (i32.const -1)"
        body += f"(drop (call $answer {answer}))"
    others = [one for one in _OTHERS if one[0].removeprefix("proxy_on_") in _NEEDED]
    text = f"""
(module
  (import "env" "proxy_get_header_map_pairs" (func $headers (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $leave (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  {data}
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body} (i32.const {1 if abort else 0}))
  {_others(others)})
"""
    return bytes(wasmtime.wat2wasm(text))


def _escaped(data: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in data)


def _others(callbacks: Iterable[tuple[str, int, bool]]) -> str:
    text = ""
    for name, parameters, answers in callbacks:
        # proxy_on_done answers 1: nothing is left to do. The others answer 0: go on.
        value = "1" if name == "proxy_on_done" else "0"
        result, body = ("(result i32)", f"(i32.const {value})") if answers else ("", "")
        text += f'(func (export "{name}") (param {"i32 " * parameters}) {result} {body})\n'
    return text


def empty(bench: Bench) -> dict[str, Any]:
    """Does nothing with a request, as an entry of ``http_filters``."""
    return _entry(bench, "empty", module())


def every_callback(bench: Bench) -> dict[str, Any]:
    """Does nothing with it in each of the callbacks."""
    return _entry(bench, "callbacks", module(every_callback=True))


def needed(bench: Bench) -> dict[str, Any]:
    """Has HFI's callbacks and asks for the headers."""
    return _entry(bench, "needed", needed_module())


def aborting_as_needed(bench: Bench, status: int) -> dict[str, Any]:
    """Answers each request by itself, and says that it did as HFI does."""
    return _entry(bench, "aborting-as-needed", needed_module(abort=status))


def asking(bench: Bench, calls: int, found: bool) -> dict[str, Any]:
    """Asks the host for a header: one that is there, for which the host calls back for memory, or one that is not."""
    return _entry(bench, f"asking-{found}", module(_FOUND if found else _MISSING, calls))


def aborting(bench: Bench, status: int) -> dict[str, Any]:
    """Answers each request by itself."""
    return _entry(bench, "aborting", module(abort=status))


def _entry(bench: Bench, name: str, code: bytes) -> dict[str, Any]:
    file = bench.directory / f"floor-{name}.wasm"
    file.write_bytes(code)
    return envoys.wasm_filter(str(file))
