//! What is counted over all workers of a proxy, and asked for while it is decided.

use std::time::Duration;

use crate::rule::Rule;

/// Which of a rule's counts. They begin anew when [`Rule::applied_at_ms`] grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// Requests that matched and left something to chance: the number of a seeded roll.
    Matched,
    /// Requests that its roll hit: `times` and `sequence` go by it, those that they pass over included.
    Fired,
}

/// The counts of a proxy.
pub trait Tallies {
    /// Counts one more, and says how many there were before. `None` when the rule was applied anew meanwhile, when
    /// it has fired as often as it may, or when others count so fast that this one does not get through: then the
    /// rule does not fire. Once the count of [`Tally::Fired`] has reached the rule's `times` it need not go on: all
    /// that is asked is whether it has.
    fn count(&mut self, rule: &Rule, tally: Tally) -> Option<u64>;

    /// Takes a place within the limits of the rule's policy, for a fault that holds its request for so long (zero:
    /// not at all). False when no place is left. Not asked where the policy has no limits.
    fn admit(&mut self, rule: &Rule, hold: Duration) -> bool;
}
