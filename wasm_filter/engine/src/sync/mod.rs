//! When to ask the control plane, who asks, and what the others do with the answer.
//!
//! An Envoy holds one VM for each worker and for its main thread, and VMs share nothing but a small key-value
//! store and queues. What lives here is every decision about that, as values in and values out: no clock, no
//! shared data, no HTTP call. The plugin pumps.
//!
//! 1. One VM leads, by a [`lease`]; the leader alone polls ([`poll`], [`backoff`]).
//! 2. It leaves a [`cache::Cached`] snapshot in shared data, and then a small [`cache::Pulse`]. The pulse is the
//!    truth about what is current; a VM that has missed a wake-up finds out by looking at the pulse.
//! 3. It wakes those who are on the [`roster`].
//! 4. What all count together is in shared data, too: [`tally`] for one rule, [`quota`] for one policy, on a [`shelf`].
//! 5. [`staleness`] is the dead-man's switch, [`clock`] the time at the control plane, [`delays`] the requests
//!    that are being held.
//!
//! A moment is a [`Duration`](std::time::Duration) since the host's monotonic origin, which is one for all VMs of
//! an Envoy.

pub mod backoff;
mod bytes;
pub mod cache;
pub mod clock;
pub mod delays;
pub mod lease;
pub mod poll;
pub mod quota;
pub mod roster;
pub mod shelf;
pub mod staleness;
pub mod tally;
