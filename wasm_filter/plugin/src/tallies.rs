//! Counts and limits that hold for a whole Envoy, over all its VMs.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use hfi_engine::rule::Rule;
use hfi_engine::tallies::{Tallies, Tally};

use crate::{host, shared};

/// Those of one decision.
pub struct SharedTallies<'h> {
    vm: u64,
    holding: &'h Rc<Holding>,
    place: Option<Place>,
}

impl<'h> SharedTallies<'h> {
    /// `vm` tells this VM's places from those of others.
    pub fn new(vm: u64, holding: &'h Rc<Holding>) -> SharedTallies<'h> {
        SharedTallies { vm, holding, place: None }
    }

    /// The place that was taken for what is injected, if it takes one.
    pub fn into_place(self) -> Option<Place> {
        self.place
    }
}

impl Tallies for SharedTallies<'_> {
    fn count(&mut self, rule: &Rule, tally: Tally) -> Option<u64> {
        shared::count(rule, tally)
    }

    fn admit(&mut self, rule: &Rule, hold: Duration) -> bool {
        let takes_place = !hold.is_zero() && rule.limits.max_active.is_some();
        let admitted = shared::admit(self.vm, rule, takes_place, host::monotonic());
        self.place = (admitted && takes_place).then(|| Place::taken(self.vm, &rule.policy, self.holding));
        admitted
    }
}

/// How many places are held here: of each policy, by the VM that took them. It changes its number with a configuration.
#[derive(Default)]
pub struct Holding(RefCell<Vec<Held>>);

struct Held {
    vm: u64,
    policy: Box<str>,
    active: u32,
}

impl Holding {
    /// Tells everybody: a VM that says nothing is taken for dead.
    pub fn keep(&self, now: Duration) {
        for Held { vm, policy, active } in &*self.0.borrow() {
            shared::keep_places(*vm, policy, *active, now);
        }
    }

    fn change(&self, vm: u64, policy: &str, by: i32) {
        let mut all = self.0.borrow_mut();
        match all.iter_mut().find(|held| held.vm == vm && *held.policy == *policy) {
            Some(held) => held.active = held.active.saturating_add_signed(by),
            None => all.push(Held { vm, policy: policy.into(), active: by.max(0).unsigned_abs() }),
        }
        all.retain(|held| held.active > 0);
    }
}

/// A place within the limits of a policy. It is given back when it is dropped: when what it was taken for is over, or
/// when the client leaves before.
pub struct Place {
    vm: u64,
    policy: Box<str>,
    holding: Rc<Holding>,
}

impl Place {
    fn taken(vm: u64, policy: &str, holding: &Rc<Holding>) -> Place {
        holding.change(vm, policy, 1);
        Place { vm, policy: policy.into(), holding: Rc::clone(holding) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.holding.change(self.vm, &self.policy, -1);
        shared::give_back(self.vm, &self.policy);
    }
}
