//! The only door to the host. Nothing in here panics, though the SDK's own wrappers do when the host answers with
//! a status that they do not know.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, Bytes, MapType, MetricType};

/// Calls that the SDK lacks, or has only in a form that panics or copies too much.
///
/// The WASI functions are there in every host of Envoy's, whatever the module was compiled for.
#[expect(unsafe_code, reason = "declares and calls functions of the host")]
mod raw {
    use std::ptr::null_mut;

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
        fn random_get(buffer: *mut u8, length: usize) -> u32;
    }

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, length: *mut usize) -> u32;
    }

    pub fn clock(clock: u32) -> Option<u64> {
        let mut time = 0;
        // SAFETY: the host writes eight bytes to `time`, which outlives the call.
        let status = unsafe { clock_time_get(clock, 0, &raw mut time) };
        (status == 0).then_some(time)
    }

    pub fn random() -> Option<u64> {
        let mut bytes = [0; 8];
        // SAFETY: the host writes as many bytes as it is told are there.
        let status = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
        (status == 0).then(|| u64::from_le_bytes(bytes))
    }

    pub fn header_pairs(map: u32) -> Option<Vec<u8>> {
        let (mut data, mut length) = (null_mut(), 0);
        // SAFETY: the host writes a pointer and a length.
        let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut length) };
        if status != 0 || data.is_null() {
            return None;
        }
        // SAFETY: the host had the memory of the SDK's allocator, which is a boxed slice of that length, and
        // leaves it to us.
        Some(unsafe { Vec::from_raw_parts(data, length, length) })
    }
}

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

/// One pseudo-header of the request, which cannot be there twice.
pub fn request_header(name: &str) -> Option<Bytes> {
    hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
}

/// Every header of the request, as the host serialises them (see [`crate::pairs`]).
pub fn request_headers() -> Bytes {
    raw::header_pairs(MapType::HttpRequestHeaders as u32).unwrap_or_default()
}

/// Every header of the answer to an HTTP call, likewise.
pub fn call_headers() -> Bytes {
    raw::header_pairs(MapType::HttpCallResponseHeaders as u32).unwrap_or_default()
}

/// The body of the answer to an HTTP call.
pub fn call_body(size: usize) -> Bytes {
    // The host calls an empty body a bad argument, for which the SDK panics.
    if size == 0 {
        return Bytes::new();
    }
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten().unwrap_or_default()
}

/// The filter's bootstrap.
pub fn plugin_configuration(size: usize) -> Bytes {
    if size == 0 {
        return Bytes::new();
    }
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default()
}

/// An attribute of Envoy.
pub fn property(path: &[&str]) -> Option<Bytes> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

/// A value in shared data, and the number under which it can be replaced.
pub fn shared(key: &str) -> (Option<Bytes>, Option<u32>) {
    hostcalls::get_shared_data(key).unwrap_or_default()
}

/// Replaces a value in shared data, if it is still the one of that number. Says whether it was done.
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

/// Has `on_tick` called again and again, in milliseconds; 0 stops it.
pub fn set_tick_period(milliseconds: u32) {
    // The SDK can only have failed by panicking, and the host always agrees.
    let _ = hostcalls::set_tick_period(Duration::from_millis(milliseconds.into()));
}

/// Lets the held request of the active context go on.
pub fn resume() {
    let _ = hostcalls::resume_http_request();
}

/// Answers the request of the active context.
pub fn respond(status: u16, headers: Vec<(&str, &str)>, body: Option<&[u8]>) {
    let _ = hostcalls::send_http_response(status.into(), headers, body);
}

/// A counter, by its name in Envoy without the prefix.
pub fn counter(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// A gauge, likewise.
pub fn gauge(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Gauge, name).ok()
}

/// Adds to a counter or to a gauge.
pub fn add(metric: u32, count: i64) {
    let _ = hostcalls::increment_metric(metric, count);
}

/// Sets a gauge.
pub fn set(metric: u32, value: u64) {
    let _ = hostcalls::record_metric(metric, value);
}
