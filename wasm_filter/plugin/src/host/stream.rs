//! What the host can be asked about the stream of the active context, and told to do to it.
//!
//! What is done to a stream happens when the VM has returned. Nothing here can fail in a way that would matter: a
//! stream that is gone has nothing left to be done to it.

use crate::abi::{Buffer, Map, Stream, imports};
use crate::pairs;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

impl Side {
    fn map(self) -> Map {
        match self {
            Side::Request => Map::RequestHeaders,
            Side::Response => Map::ResponseHeaders,
        }
    }

    fn stream(self) -> Stream {
        match self {
            Side::Request => Stream::Request,
            Side::Response => Stream::Response,
        }
    }
}

/// The first value of a header. There are headers of the request until it goes on, and of the response likewise.
pub fn header(side: Side, name: &str) -> Option<Vec<u8>> {
    imports::header(side.map(), name)
}

/// Every header, as the host serialises them (see [`crate::pairs`]).
pub fn headers(side: Side) -> Vec<u8> {
    imports::header_pairs(side.map()).unwrap_or_default()
}

/// Sets a header, in the place of every value that it had.
pub fn replace_header(side: Side, name: &str, value: &str) {
    imports::replace_header(side.map(), name, value.as_bytes());
}

/// Adds a value of a header.
pub fn add_header(side: Side, name: &str, value: &str) {
    imports::add_header(side.map(), name, value.as_bytes());
}

/// Removes every value of a header.
pub fn remove_header(side: Side, name: &str) {
    imports::remove_header(side.map(), name);
}

/// The first bytes of the chunk of the response's body that is passing.
pub fn body(most: usize) -> Vec<u8> {
    imports::buffer(Buffer::ResponseBody, most).unwrap_or_default()
}

/// Replaces that chunk, which has so many bytes.
pub fn replace_body(size: usize, by: &[u8]) {
    imports::set_buffer(Buffer::ResponseBody, size, by);
}

/// Puts a trailer behind the response of the active context, whose last chunk is passing: so it is not the end.
pub fn add_trailer(name: &str, value: &str) {
    imports::add_header(Map::ResponseTrailers, name, value.as_bytes());
}

/// Lets what was held back go on.
pub fn resume(side: Side) {
    imports::continue_stream(side.stream());
}

/// Resets the stream; a connection of HTTP/1.1 is closed.
pub fn reset(side: Side) {
    imports::close_stream(side.stream());
}

/// Answers the request in the upstream's place. `details` is for access logs.
pub fn respond(status: u16, details: &str, headers: &[(&str, &str)], body: &str) {
    imports::respond(status.into(), details, body.as_bytes(), &pairs::serialised(headers), NO_GRPC_STATUS);
}

/// The same, where the headers are serialised already.
pub fn respond_serialised(status: u16, details: &str, headers: &[u8], body: &str) {
    imports::respond(status.into(), details, body.as_bytes(), headers, NO_GRPC_STATUS);
}

/// Answers a gRPC request.
pub fn respond_grpc(status: u8, details: &str, headers: &[(&str, &str)], message: &str) {
    imports::respond(200, details, message.as_bytes(), &pairs::serialised(headers), status.into());
}

/// The host works it out from the HTTP status where it needs one.
const NO_GRPC_STATUS: i32 = -1;

/// Leaves a value for access logs: `%FILTER_STATE(wasm.<name>:PLAIN)%`.
pub fn set_state(name: &str, value: &str) {
    imports::set_property(name, value.as_bytes());
}
