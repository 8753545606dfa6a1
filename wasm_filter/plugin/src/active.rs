//! The rules that requests run by, with what was worked out for them once.

use hfi_engine::sync::clock::ServerClock;

use crate::counting::Places;
use crate::host;
use hfi_engine::snapshot::RuleSet;

/// The rules of one snapshot. New ones take their place as a whole; a request in flight keeps those that it began
/// with.
pub struct Active {
    pub rules: RuleSet,
    pub places: Places,
    clock: ServerClock,
}

impl Active {
    pub fn new(rules: RuleSet, clock: ServerClock) -> Active {
        Active { rules, places: Places::default(), clock }
    }

    /// Unix time by the server's clock; 0 where no rule ends, and so nobody looks.
    pub fn now_ms(&self) -> u64 {
        if self.rules.timed() { self.clock.now_ms(host::wall(), host::monotonic()) } else { 0 }
    }
}
