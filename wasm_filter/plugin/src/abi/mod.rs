//! The binary interface of proxy-wasm 0.2.1, as far as the filter needs it: the one place where the compiler cannot
//! see whether a pointer is right. Whoever changes something here checks it against `proxy-wasm-cpp-host`.
//!
//! 1. Host and module exchange numbers, and addresses in the module's memory.
//! 2. What the module passes, the host reads or writes during the call and at no other time.
//! 3. What the host passes, it has written into memory that it asked of [`memory`], and leaves to the module.

mod callbacks;
pub mod imports;
mod memory;

/// What the host does with a stream after a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Continue = 0,
    Pause = 1,
}

/// Maps of the host.
#[derive(Debug, Clone, Copy)]
pub enum Map {
    RequestHeaders = 0,
    ResponseHeaders = 2,
    ResponseTrailers = 3,
    CallHeaders = 6,
}

/// Runs of bytes that the host has.
#[derive(Debug, Clone, Copy)]
pub enum Buffer {
    ResponseBody = 1,
    CallBody = 4,
    PluginConfiguration = 7,
}

/// The two directions of a stream.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    Request = 0,
    Response = 1,
}

/// The kinds of a metric.
#[derive(Debug, Clone, Copy)]
pub enum Metric {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

/// How urgent a line of the host's log is.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    Info = 2,
    Warn = 3,
    Critical = 5,
}
