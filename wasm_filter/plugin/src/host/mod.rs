//! The only door to the host. Nothing in here panics, though the SDK's own wrappers do when the host answers with
//! a status that they do not know.

pub mod metric;
mod raw;
pub mod stream;

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType};

/// Time since the monotonic origin, which is one for all VMs of an Envoy.
pub fn monotonic() -> Duration {
    Duration::from_nanos(raw::clock(1).unwrap_or(0))
}

/// Time since 1970.
pub fn wall() -> Duration {
    Duration::from_nanos(raw::clock(0).unwrap_or(0))
}

/// From the host's generator.
pub fn random() -> u64 {
    raw::random().unwrap_or_else(|| wall().as_nanos() as u64)
}

/// Every header of the answer to an HTTP call, as the host serialises them (see [`crate::pairs`]).
pub fn call_headers() -> Bytes {
    raw::header_pairs(MapType::HttpCallResponseHeaders as u32).unwrap_or_default()
}

/// The body of the answer to an HTTP call.
pub fn call_body(size: usize) -> Bytes {
    raw::buffer(BufferType::HttpCallResponseBody as u32, size).unwrap_or_default()
}

/// The filter's bootstrap.
pub fn plugin_configuration(size: usize) -> Bytes {
    raw::buffer(BufferType::PluginConfiguration as u32, size).unwrap_or_default()
}

/// An attribute of Envoy.
pub fn property(path: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// A value in shared data, and the number under which it can be replaced. There is a number for no value, too: of two
/// VMs that write the first, one has it refused.
pub fn shared(key: &str) -> (Option<Bytes>, Option<u32>) {
    match hostcalls::get_shared_data(key) {
        Ok((value, Some(cas))) => (value, Some(cas)),
        _ => (None, Some(ABSENT)),
    }
}

/// The host compares numbers only where there is a value, and counts them up from 1: this is never one of a value.
const ABSENT: u32 = u32::MAX;

/// Replaces a value in shared data, if it is still the one of that number; without one, whatever is there. Says whether
/// it was done.
pub fn set_shared(key: &str, value: &[u8], cas: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), cas).is_ok()
}

/// A queue of this context. Its name is an Envoy's.
pub fn register_queue(name: &str) -> Option<u32> {
    hostcalls::register_shared_queue(name).ok()
}

/// Wakes the owner of a queue. Says whether the queue exists.
pub fn wake(queue: u32) -> bool {
    hostcalls::enqueue_shared_queue(queue, Some(b"w")).is_ok()
}

/// Takes everything out of a queue.
pub fn drain(queue: u32) {
    while let Ok(Some(_)) = hostcalls::dequeue_shared_queue(queue) {}
}

/// Sends a GET, the answer of which comes to the context that is active now.
pub fn call(cluster: &str, headers: &[(&'static str, String)], timeout: Duration) -> Option<u32> {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout).ok()
}

/// Makes a context the one that the next calls are about. Says whether it still exists.
pub fn enter(context: u32) -> bool {
    hostcalls::set_effective_context(context).is_ok()
}

/// Has `on_tick` of the root context called again and again, in milliseconds; 0 stops it. The context of a request
/// may say so as well: the timer is that of its root context.
pub fn set_tick_period(milliseconds: u32) {
    // The SDK can only have failed by panicking, and the host always agrees.
    let _ = hostcalls::set_tick_period(Duration::from_millis(milliseconds.into()));
}
