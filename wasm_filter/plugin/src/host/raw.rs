//! Functions of the host that the SDK lacks, or has only in a form that panics or copies too much.
//!
//! The WASI functions are there in every host of Envoy's, whatever the module was compiled for.
#![expect(unsafe_code, reason = "declares and calls functions of the host")]

use std::ptr::{null, null_mut};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn random_get(buffer: *mut u8, length: usize) -> u32;
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
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
    fn proxy_set_property(path: *const u8, path_length: usize, value: *const u8, value_length: usize) -> u32;
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

/// What the host wrote through the two pointers that `ask` is given. `None` when it says that there is nothing, and
/// for an empty value, for which it allocates nothing, an empty one.
fn written(ask: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut length) = (null_mut(), 0);
    if ask(&raw mut data, &raw mut length) != 0 {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host had the memory of the SDK's allocator, which is a boxed slice of that length, and leaves it
    // to us.
    Some(unsafe { Vec::from_raw_parts(data, length, length) })
}

pub fn header_pairs(map: u32) -> Option<Vec<u8>> {
    // SAFETY: the host writes a pointer and a length.
    written(|data, length| unsafe { proxy_get_header_map_pairs(map, data, length) })
}

pub fn header(map: u32, name: &str) -> Option<Vec<u8>> {
    // SAFETY: as above; it reads the name during the call.
    written(|data, length| unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, length)
    })
}

pub fn replace_header(map: u32, name: &str, value: &[u8]) {
    // SAFETY: the host reads both during the call.
    unsafe { proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

pub fn add_header(map: u32, name: &str, value: &[u8]) {
    // SAFETY: as above.
    unsafe { proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

pub fn remove_header(map: u32, name: &str) {
    // SAFETY: as above.
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) };
}

pub fn buffer(buffer: u32, most: usize) -> Option<Vec<u8>> {
    // SAFETY: the host writes a pointer and a length.
    written(|data, length| unsafe { proxy_get_buffer_bytes(buffer, 0, most, data, length) })
}

pub fn set_buffer(buffer: u32, size: usize, value: &[u8]) {
    // SAFETY: the host reads the value during the call.
    unsafe { proxy_set_buffer_bytes(buffer, 0, size, value.as_ptr(), value.len()) };
}

pub fn continue_stream(stream: u32) {
    // SAFETY: a number goes in, and a number comes out.
    unsafe { proxy_continue_stream(stream) };
}

pub fn close_stream(stream: u32) {
    // SAFETY: as above.
    unsafe { proxy_close_stream(stream) };
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

pub fn set_property(path: &str, value: &[u8]) {
    // SAFETY: the host reads both during the call.
    unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
}
