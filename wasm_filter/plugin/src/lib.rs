//! HFI's Envoy filter: host glue around the rule engine.
//!
//! Decides nothing by itself. What a request gets is decided in `hfi_engine::decide`, when to ask the control
//! plane in `hfi_engine::sync`; here is what they need of Envoy.
//!
//! 1. Traffic passes, always: without a snapshot, with a bad one, when the host refuses a call.
//! 2. Nothing here may panic. A trap takes the VM down, and with it every rule of that worker. So [`host`] is the
//!    only door to the host, and answers with an `Option` where the SDK would panic.
//! 3. The host never calls back into the VM from within a call: what it is asked to do to a stream, it does after
//!    the VM has returned. So a `RefCell` is borrowed for as long as one line takes, and never across a callback.

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
mod pairs;
mod rewrite;
mod root;
mod shared;
mod tallies;
mod view;
mod waiting;

use proxy_wasm::types::LogLevel;

#[allow(missing_docs)] // The macro's own entry point, which it does not document.
mod start {
    use super::{LogLevel, root};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|context| Box::new(root::Root::new(context)));
    }}
}
