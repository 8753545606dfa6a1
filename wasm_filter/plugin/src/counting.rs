//! Counting what happens to rules.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use hfi_engine::decide::{Observer, Skip};
use hfi_engine::injection::Kind;
use hfi_engine::rule::Rule;

use crate::metrics::Metrics;
use crate::numbers::Numbers;

/// The policy and the rule that stand for those that find no room for series of their own. None can have that name.
const OTHER: &str = "_other";

/// What can happen to a rule.
#[derive(Debug, Clone, Copy)]
enum What {
    Matched,
    Injected(Kind),
    Shadowed(Kind),
    Skipped(Skip),
}

impl What {
    const COUNT: usize = 1 + 2 * Kind::COUNT + Skip::ALL.len();

    /// Below [`What::COUNT`].
    fn index(self) -> usize {
        match self {
            What::Matched => 0,
            What::Injected(kind) => 1 + kind.index(),
            What::Shadowed(kind) => 1 + Kind::COUNT + kind.index(),
            What::Skipped(why) => 1 + 2 * Kind::COUNT + why as usize,
        }
    }

    /// The name of its series.
    fn of(self, policy: &str, rule: &str) -> String {
        let (what, kind) = match self {
            What::Matched => ("matched", "any".to_owned()),
            What::Injected(kind) => ("injected", kind.name()),
            What::Shadowed(kind) => ("shadowed", kind.name()),
            What::Skipped(why) => ("skipped", why.as_str().to_owned()),
        };
        format!("hfi.rule~{what}~{policy}~{rule}~{kind}")
    }
}

/// Where the rules of one snapshot are counted: found by name once, and by place from then on.
#[derive(Default)]
pub struct Places(RefCell<HashMap<usize, Option<usize>, BuildHasherDefault<Numbers>>>);

/// An observer for one decision.
pub struct Counting<'a> {
    pub places: &'a Places,
    pub metrics: &'a Metrics,
}

impl Counting<'_> {
    fn count(&self, at: usize, rule: &Rule, what: What) {
        let mut places = self.places.0.borrow_mut();
        let place = places.entry(at * What::COUNT + what.index()).or_insert_with(|| {
            let own = self.metrics.series(what.of(&rule.policy, &rule.name));
            own.or_else(|| self.metrics.common_series(what.of(OTHER, OTHER)))
        });
        if let Some(series) = place {
            self.metrics.count(*series);
        }
    }
}

impl Observer for Counting<'_> {
    fn matched(&mut self, at: usize, rule: &Rule) {
        self.metrics.rules_matched.add(1);
        self.count(at, rule, What::Matched);
    }

    fn skipped(&mut self, at: usize, rule: &Rule, why: Skip) {
        self.count(at, rule, What::Skipped(why));
    }

    fn injected(&mut self, at: usize, rule: &Rule, kind: Kind) {
        self.metrics.faults_injected.add(1);
        self.count(at, rule, What::Injected(kind));
    }

    fn shadowed(&mut self, at: usize, rule: &Rule, kind: Kind) {
        self.count(at, rule, What::Shadowed(kind));
    }
}
