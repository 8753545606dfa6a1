//! What the control plane sends: every rule of this proxy, in the total order.
//!
//! Strict where a mistake would change what a rule means, lenient where an older filter meets a newer control
//! plane: unknown members of the snapshot and of a rule's envelope are ignored, and a rule that cannot be
//! compiled is left out and named while the others work.
//!
//! One VM of a proxy, the leader, reads the JSON and checks every rule: [`Compiler`]. What it makes is a flat
//! image, which every VM uses in place: [`RuleSet`]. [`Snapshot`] is the same as a plain list.

mod compiler;
pub(crate) mod image;
mod plain;
mod ruleset;
mod wire;

pub use compiler::{Compiled, Compiler};
pub use plain::{Parsed, Snapshot};
pub use ruleset::RuleSet;
pub use wire::SnapshotError;

/// What the compiled patterns of one snapshot may take together. Not all are there at once; it bounds the time that
/// checking them takes.
const REGEX_BUDGET: usize = 64 << 20;
