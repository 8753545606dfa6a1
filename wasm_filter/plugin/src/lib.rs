//! HFI's Envoy filter: host glue around the rule engine.
//!
//! Decides nothing by itself. What a request gets is decided in `hfi_engine::decide`, when to ask the control
//! plane in `hfi_engine::sync`; here is what they need of Envoy.
//!
//! 1. Traffic passes, always: without a snapshot, with a bad one, when the host refuses a call.
//! 2. Nothing here may panic. A trap takes the VM down, and with it every rule of that worker. So [`host`] is the
//!    only door to the host, and answers with an `Option` where it has nothing. Behind it lies [`abi`], which alone
//!    may use `unsafe`.
//! 3. The host never calls back into the VM from within a call, but for memory: what it is asked to do to a stream, it
//!    does after the VM has returned. So [`vm`] may be borrowed throughout a callback; any other `RefCell` is borrowed
//!    for as long as one line takes.

mod abi;
mod active;
mod answer;
mod body;
mod counting;
mod exchange;
mod filter;
mod follower;
mod host;
mod leader;
mod metrics;
mod node;
mod numbers;
mod pairs;
mod rewrite;
mod root;
mod shared;
mod tallies;
mod view;
mod vm;
mod waiting;
