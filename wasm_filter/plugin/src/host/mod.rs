//! The only door to the host. Nothing in here panics, whatever the host answers.

pub mod metric;
pub mod stream;

use std::time::Duration;

use crate::abi::{Buffer, Level, Map, imports};
use crate::pairs;

/// Time since the monotonic origin, which is one for all VMs of an Envoy.
pub fn monotonic() -> Duration {
    Duration::from_nanos(imports::clock(1).unwrap_or(0))
}

/// Time since 1970.
pub fn wall() -> Duration {
    Duration::from_nanos(imports::clock(0).unwrap_or(0))
}

/// From the host's generator.
pub fn random() -> u64 {
    imports::random().unwrap_or_else(|| wall().as_nanos() as u64)
}

/// Every header of the answer to an HTTP call, as the host serialises them (see [`crate::pairs`]).
pub fn call_headers() -> Vec<u8> {
    imports::header_pairs(Map::CallHeaders).unwrap_or_default()
}

/// The body of the answer to an HTTP call.
pub fn call_body(size: usize) -> Vec<u8> {
    imports::buffer(Buffer::CallBody, size).unwrap_or_default()
}

/// The filter's bootstrap.
pub fn plugin_configuration(size: usize) -> Vec<u8> {
    imports::buffer(Buffer::PluginConfiguration, size).unwrap_or_default()
}

/// An attribute of Envoy.
pub fn property(path: &[&str]) -> Option<Vec<u8>> {
    imports::property(&path.join("\0"))
}

/// A value in shared data, and the number under which it can be replaced. There is a number for no value, too: of two
/// VMs that write the first, one has it refused.
pub fn shared(key: &str) -> (Option<Vec<u8>>, Option<u32>) {
    match imports::shared_data(key) {
        // What was emptied is no value, but it has a number.
        Some((value, cas)) if cas != 0 => (Some(value).filter(|value| !value.is_empty()), Some(cas)),
        _ => (None, Some(ABSENT)),
    }
}

/// The host compares numbers only where there is a value, and counts them up from 1: this is never one of a value.
const ABSENT: u32 = u32::MAX;

/// Replaces a value in shared data, if it is still the one of that number; without one, whatever is there. Says whether
/// it was done.
pub fn set_shared(key: &str, value: &[u8], cas: Option<u32>) -> bool {
    imports::set_shared_data(key, value, cas.unwrap_or(0))
}

/// A queue of this context. Its name is an Envoy's.
pub fn register_queue(name: &str) -> Option<u32> {
    imports::register_queue(name)
}

/// Wakes the owner of a queue. Says whether the queue exists.
pub fn wake(queue: u32) -> bool {
    imports::enqueue(queue, b"w")
}

/// Takes everything out of a queue.
pub fn drain(queue: u32) {
    while imports::dequeue(queue).is_some() {}
}

/// Sends a GET, the answer of which comes to the context that is active now.
pub fn call(cluster: &str, headers: &[(&'static str, String)], timeout: Duration) -> Option<u32> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    imports::http_call(cluster, &pairs::serialised(&headers), &pairs::serialised(&[]), timeout)
}

/// Makes a context the one that the next calls are about. Says whether it still exists.
pub fn enter(context: u32) -> bool {
    imports::set_effective_context(context)
}

/// Has `on_tick` of the root context called again and again, in milliseconds; 0 stops it. The context of a request
/// may say so as well: the timer is that of its root context.
pub fn set_tick_period(milliseconds: u32) {
    imports::set_tick_period(milliseconds);
}

/// A line in Envoy's log.
pub fn info(text: &str) {
    imports::log(Level::Info, text);
}

/// A line in Envoy's log that somebody should see.
pub fn warn(text: &str) {
    imports::log(Level::Warn, text);
}

/// Has Envoy's log say what a panic was. It still ends the VM.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| imports::log(Level::Critical, &panic.to_string())));
}
