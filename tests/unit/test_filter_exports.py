"""What the shipped filter module shows its host. Envoy calls into the VM for each callback that is there."""

from __future__ import annotations

import wasmtime

from hfi_core.modules.catalogue import FILTER, load_module

CALLBACKS = {
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_delete",
}


def test_the_filter_has_the_callbacks_that_it_needs_and_no_other() -> None:
    module = wasmtime.Module(wasmtime.Engine(), load_module(FILTER).code)
    names = {export.name for export in module.exports}
    assert {name for name in names if name.startswith("proxy_on_")} - {"proxy_on_memory_allocate"} == CALLBACKS
    # Started as a command or reactor, it would be called before it is told what it is for.
    assert not names & {"_start", "_initialize"}
