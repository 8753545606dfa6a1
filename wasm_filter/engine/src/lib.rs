//! Which fault, if any, a request gets: HFI's rule engine.
//!
//! Pure: bytes and numbers in, values out. There is no proxy-wasm here, no clock, no randomness of its own and
//! no IO, so that the same code runs in Envoy (`hfi-filter`), in the control plane (`hfi-validator`) and in
//! native tests. Nothing in it panics: what cannot be used is a value that says why.
//!
//! - [`policy`] checks a policy document, and finds every problem at once;
//! - [`snapshot`] compiles what the control plane sends, with an index of it;
//! - [`decide`] answers for one request, [`explain`] says how it would;
//! - [`questions`] puts checking and explaining into JSON, for other languages;
//! - [`sse`] and [`config`] read the control plane's answers and the filter's bootstrap;
//! - [`sync`] decides when to ask the control plane, and what to do with its answers.

#![forbid(unsafe_code)]

pub mod chance;
pub mod config;
pub mod decide;
mod draw;
pub mod envelope;
pub mod explain;
mod fate;
pub mod fault;
mod index;
pub mod injection;
mod literals;
pub mod matching;
mod names;
mod observer;
pub mod pattern;
pub mod policy;
pub mod probe;
pub mod problem;
pub mod questions;
mod reading;
mod reasons;
pub mod request;
pub mod rule;
pub mod rules;
pub mod snapshot;
pub mod sse;
pub mod sync;
pub mod tallies;
