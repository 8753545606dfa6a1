//! A snapshot as a list: every rule compiled, each asked in order.
//!
//! What `explain` walks, for it says something of every rule; and what tests hold [`RuleSet`](super::RuleSet)
//! against, for there is nothing in it that could go wrong.

use std::rc::Rc;

use super::wire::Wire;
use super::{REGEX_BUDGET, SnapshotError};
use crate::envelope::{LeftOut, compile};
use crate::request::{Request, RequestView};
use crate::rule::Rule;
use crate::rules::Rules;

/// The rules at one version of the store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The store's revision. Versions compare only within one epoch.
    pub version: u64,
    /// Changes when the store is another.
    pub epoch: String,
    /// Unix milliseconds of the server when it sent this.
    pub server_time_ms: u64,
    /// In the total order.
    pub rules: Vec<Rc<Rule>>,
}

/// A snapshot, and what is missing in it.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// What can be run.
    pub snapshot: Snapshot,
    /// What cannot.
    pub left_out: Vec<LeftOut>,
}

impl Snapshot {
    /// Compiles a snapshot, which is the data of an `update` event.
    ///
    /// # Errors
    ///
    /// When it is not a snapshot at all. A bad rule is no error.
    pub fn parse(data: &[u8]) -> Result<Parsed, SnapshotError> {
        let wire = Wire::read(data)?;
        let mut rules = Vec::new();
        let mut left_out = Vec::new();
        let mut budget = REGEX_BUDGET;
        for source in &wire.rules {
            match compile(source.get(), &mut budget) {
                Ok(rule) => rules.push(Rc::new(rule)),
                Err(left) => left_out.push(left),
            }
        }
        let Wire { version, epoch, server_time_ms, .. } = wire;
        Ok(Parsed { snapshot: Snapshot { version, epoch, server_time_ms, rules }, left_out })
    }
}

impl Rules for Snapshot {
    fn candidates<V: RequestView>(&self, _request: &Request<'_, V>) -> impl Iterator<Item = usize> {
        0..self.rules.len()
    }

    fn rule(&self, at: usize) -> Option<Rc<Rule>> {
        self.rules.get(at).map(Rc::clone)
    }
}
