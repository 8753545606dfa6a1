//! What the host calls. It looks a callback up by its name, and crosses into the VM, some 0.5 µs, for each one that is
//! there: so there is none that nothing needs. `tests/unit/test_filter_exports.py` has the list.
#![expect(unsafe_code, reason = "the host finds callbacks by name")]

use super::Action;
use crate::vm;

impl Action {
    fn code(self) -> u32 {
        self as u32
    }
}

/// Says which version of the interface this is.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// A root context has no parent.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    vm::created(context, parent);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    vm::started();
    1
}

/// Always true: Envoy could only say that the filter was refused, and not why.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    vm::of_root(root, |root| root.on_configure(size));
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    vm::of_root(root, |root| root.on_tick());
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(root: u32, queue: u32) {
    vm::of_root(root, |root| root.on_queue_ready(queue));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(root: u32, call: u32, _: u32, body_size: usize, _: u32) {
    vm::of_root(root, |root| root.on_http_call_response(call, body_size));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: u32, _: u32) -> u32 {
    vm::request(context).code()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _: u32, ends: u32) -> u32 {
    vm::response(context, |exchange| exchange.on_response_headers(ends != 0)).code()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, ends: u32) -> u32 {
    vm::of_exchange(context, |exchange| exchange.on_response_body(size, ends != 0)).code()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _: u32) -> u32 {
    vm::of_exchange(context, |exchange| exchange.on_response_trailers()).code()
}

/// A context is over, however it ended.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    vm::deleted(context);
}
