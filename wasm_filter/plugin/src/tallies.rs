//! Counts and limits that hold for a whole Envoy, over all its VMs.

use std::time::Duration;

use hfi_engine::rule::Rule;
use hfi_engine::tallies::{Tallies, Tally};

use crate::{host, shared};

/// Those of one decision.
pub struct SharedTallies {
    vm: u64,
    place: Option<Place>,
}

impl SharedTallies {
    /// `vm` tells this VM's places from those of others.
    pub fn new(vm: u64) -> SharedTallies {
        SharedTallies { vm, place: None }
    }

    /// The place that was taken for what is injected, if it takes one.
    pub fn into_place(self) -> Option<Place> {
        self.place
    }
}

impl Tallies for SharedTallies {
    fn count(&mut self, rule: &Rule, tally: Tally) -> Option<u64> {
        shared::count(rule, tally)
    }

    fn admit(&mut self, rule: &Rule, hold: Duration) -> bool {
        let admitted = shared::admit(self.vm, rule, hold, host::monotonic());
        let takes_place = admitted && !hold.is_zero() && rule.limits.max_active.is_some();
        self.place = takes_place.then(|| Place { vm: self.vm, policy: rule.policy.clone() });
        admitted
    }
}

/// A place within the limits of a policy. It is given back when it is dropped: when what it was taken for is over, or
/// when the client leaves before.
pub struct Place {
    vm: u64,
    policy: Box<str>,
}

impl Drop for Place {
    fn drop(&mut self) {
        shared::give_back(self.vm, &self.policy);
    }
}
