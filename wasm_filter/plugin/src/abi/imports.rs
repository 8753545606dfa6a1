//! Functions of the host.
//!
//! The WASI functions are there in every host of Envoy's, whatever the module was compiled for.
#![expect(unsafe_code, reason = "declares and calls functions of the host")]

use std::ptr::null;

use super::memory::written;
use super::{Buffer, Level, Map, Metric, Stream};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(buffer: *mut u8, length: usize) -> u32;
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, length: usize) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_length: usize,
        data: *mut *mut u8,
        length: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_length: usize,
        value: *const u8,
        value_length: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_length: usize,
        value: *const u8,
        value_length: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_length: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        length: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, size: usize, data: *const u8, length: usize) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_length: usize,
        body: *const u8,
        body_length: usize,
        headers: *const u8,
        headers_length: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_property(path: *const u8, path_length: usize, data: *mut *mut u8, length: *mut usize)
    -> u32;
    fn proxy_set_property(path: *const u8, path_length: usize, value: *const u8, value_length: usize) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_length: usize,
        headers: *const u8,
        headers_length: usize,
        body: *const u8,
        body_length: usize,
        trailers: *const u8,
        trailers_length: usize,
        timeout_milliseconds: u32,
        call: *mut u32,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_length: usize,
        data: *mut *mut u8,
        length: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_length: usize,
        value: *const u8,
        value_length: usize,
        cas: u32,
    ) -> u32;
    fn proxy_register_shared_queue(name: *const u8, name_length: usize, queue: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, value: *const u8, value_length: usize) -> u32;
    fn proxy_dequeue_shared_queue(queue: u32, data: *mut *mut u8, length: *mut usize) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_length: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_record_metric(metric: u32, value: u64) -> u32;
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

pub fn header_pairs(map: Map) -> Option<Vec<u8>> {
    // SAFETY: the host writes a pointer and a length.
    written(|data, length| unsafe { proxy_get_header_map_pairs(map as u32, data, length) })
}

pub fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    // SAFETY: as above; it reads the name during the call.
    written(|data, length| unsafe {
        proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, length)
    })
}

pub fn replace_header(map: Map, name: &str, value: &[u8]) {
    // SAFETY: the host reads both during the call.
    unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
}

pub fn add_header(map: Map, name: &str, value: &[u8]) {
    // SAFETY: as above.
    unsafe { proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

pub fn remove_header(map: Map, name: &str) {
    // SAFETY: as above.
    unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
}

pub fn buffer(buffer: Buffer, most: usize) -> Option<Vec<u8>> {
    // SAFETY: the host writes a pointer and a length.
    written(|data, length| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, most, data, length) })
}

pub fn set_buffer(buffer: Buffer, size: usize, value: &[u8]) {
    // SAFETY: the host reads the value during the call.
    unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, value.as_ptr(), value.len()) };
}

pub fn continue_stream(stream: Stream) {
    // SAFETY: a number goes in, and a number comes out.
    unsafe { proxy_continue_stream(stream as u32) };
}

pub fn close_stream(stream: Stream) {
    // SAFETY: as above.
    unsafe { proxy_close_stream(stream as u32) };
}

pub fn respond(status: u32, details: &str, body: &[u8], headers: &[u8], grpc_status: i32) {
    let body_at = if body.is_empty() { null() } else { body.as_ptr() };
    // SAFETY: the host reads all of it during the call.
    unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body_at,
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    };
}

/// The parts of a path have a zero byte between them.
pub fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the path during the call, and writes a pointer and a length.
    written(|data, length| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, length) })
}

pub fn set_property(path: &str, value: &[u8]) {
    // SAFETY: the host reads both during the call.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
}

pub fn log(level: Level, text: &str) {
    // SAFETY: the host reads the text during the call.
    unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) };
}

pub fn set_tick_period(milliseconds: u32) {
    // SAFETY: a number goes in, and a number comes out.
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

pub fn set_effective_context(context: u32) -> bool {
    // SAFETY: as above.
    unsafe { proxy_set_effective_context(context) == 0 }
}

/// A call without body and trailers; `headers` and `none` are maps, serialised.
pub fn http_call(cluster: &str, headers: &[u8], none: &[u8], timeout_milliseconds: u32) -> Option<u32> {
    let mut call = 0;
    // SAFETY: the host reads all of it during the call, and writes a number.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            null(),
            0,
            none.as_ptr(),
            none.len(),
            timeout_milliseconds,
            &raw mut call,
        )
    };
    (status == 0).then_some(call)
}

pub fn shared_data(key: &str) -> Option<(Vec<u8>, u32)> {
    let mut cas = 0;
    // SAFETY: the host reads the key during the call, and writes a pointer, a length and a number.
    let value = written(|data, length| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, length, &raw mut cas)
    })?;
    Some((value, cas))
}

pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> bool {
    // SAFETY: the host reads both during the call.
    unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) == 0 }
}

pub fn register_queue(name: &str) -> Option<u32> {
    let mut queue = 0;
    // SAFETY: the host reads the name during the call, and writes a number.
    let status = unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut queue) };
    (status == 0).then_some(queue)
}

pub fn enqueue(queue: u32, value: &[u8]) -> bool {
    // SAFETY: the host reads the value during the call.
    unsafe { proxy_enqueue_shared_queue(queue, value.as_ptr(), value.len()) == 0 }
}

pub fn dequeue(queue: u32) -> Option<Vec<u8>> {
    // SAFETY: the host writes a pointer and a length.
    written(|data, length| unsafe { proxy_dequeue_shared_queue(queue, data, length) })
}

pub fn define_metric(kind: Metric, name: &str) -> Option<u32> {
    let mut metric = 0;
    // SAFETY: the host reads the name during the call, and writes a number.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut metric) };
    (status == 0).then_some(metric)
}

pub fn increment_metric(metric: u32, by: i64) {
    // SAFETY: numbers go in, and a number comes out.
    unsafe { proxy_increment_metric(metric, by) };
}

pub fn record_metric(metric: u32, value: u64) {
    // SAFETY: as above.
    unsafe { proxy_record_metric(metric, value) };
}
