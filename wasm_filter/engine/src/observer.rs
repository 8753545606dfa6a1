//! Who is told what becomes of each rule that matches.

use crate::injection::Kind;
use crate::rule::Rule;

/// Why a rule that matches did not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The roll missed.
    Percentage,
    /// Its end has come.
    Expired,
    /// Its policy is at its limits.
    Limit,
    /// It has fired as often as it may, or its turn was to pass.
    Times,
    /// Nothing was heard from the control plane for too long.
    Stale,
    /// The request is a probe.
    Probe,
}

impl Skip {
    /// All of them.
    pub const ALL: [Skip; 6] =
        [Skip::Percentage, Skip::Expired, Skip::Limit, Skip::Times, Skip::Stale, Skip::Probe];

    /// As in the names of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Skip::Percentage => "percentage",
            Skip::Expired => "expired",
            Skip::Limit => "limit",
            Skip::Times => "times",
            Skip::Stale => "stale",
            Skip::Probe => "probe",
        }
    }
}

/// Who counts. `at` is the rule's place in the snapshot.
pub trait Observer {
    /// The rule matched, whether it fires or not. Not for one that is over, stale, or passed over for a probe.
    fn matched(&mut self, at: usize, rule: &Rule);
    /// The rule matched, and did not fire.
    fn skipped(&mut self, at: usize, rule: &Rule, why: Skip);
    /// The rule decided, and its fault is injected.
    fn injected(&mut self, at: usize, rule: &Rule, kind: Kind);
    /// The rule fired in shadow mode: this would have been injected.
    fn shadowed(&mut self, at: usize, rule: &Rule, kind: Kind);
}
