//! The snapshot that requests run by, with what was worked out for it once.

use std::cell::Cell;
use std::rc::Rc;

use hfi_engine::chance::Rolls;
use hfi_engine::decide::{Kind, Observer, Verdict, decide};
use hfi_engine::probe::Probes;
use hfi_engine::rule::Rule;
use hfi_engine::snapshot::Snapshot;
use hfi_engine::sync::clock::ServerClock;

use crate::host;
use crate::metrics::{Metrics, What};
use crate::view::View;

/// One snapshot. A new one takes its place as a whole; a request that is held keeps the rule that it got.
pub struct Active {
    pub snapshot: Snapshot,
    clock: ServerClock,
    /// Whether any rule has an end, so that somebody must look at the clock.
    timed: bool,
    series: Vec<[Cell<Series>; What::COUNT]>,
}

/// The counter of one rule and one event, looked up at its first use.
#[derive(Clone, Copy, Default)]
enum Series {
    #[default]
    Unknown,
    Counter(u32),
    /// There are too many.
    None,
}

impl Active {
    pub fn new(snapshot: Snapshot, clock: ServerClock) -> Active {
        let timed = snapshot.rules.iter().any(|rule| rule.ends_at_ms.is_some());
        let series = snapshot.rules.iter().map(|_| Default::default()).collect();
        Active { snapshot, clock, timed, series }
    }

    /// What the request of the active context gets.
    pub fn decide(&self, probes: &Probes, rolls: &mut impl Rolls, metrics: &Metrics) -> Verdict<'_> {
        let now_ms = if self.timed { self.clock.now_ms(host::wall(), host::monotonic()) } else { 0 };
        decide(
            &self.snapshot,
            &View::default(),
            now_ms,
            probes,
            rolls,
            &mut Counting { active: self, metrics },
        )
    }

    /// A rule of the snapshot.
    pub fn rule(&self, at: usize) -> Option<&Rc<Rule>> {
        self.snapshot.rules.get(at)
    }

    fn count(&self, at: usize, rule: &Rule, what: What, metrics: &Metrics) {
        let Some(slot) = self.series.get(at).and_then(|series| series.get(what.index())) else { return };
        if let Series::Unknown = slot.get() {
            slot.set(metrics.of_rule(what, rule).map_or(Series::None, Series::Counter));
        }
        if let Series::Counter(id) = slot.get() {
            host::add(id, 1);
        }
    }
}

struct Counting<'a> {
    active: &'a Active,
    metrics: &'a Metrics,
}

impl Observer for Counting<'_> {
    fn matched(&mut self, at: usize, rule: &Rule) {
        self.metrics.rules_matched.add(1);
        self.active.count(at, rule, What::Matched, self.metrics);
    }

    fn injected(&mut self, at: usize, rule: &Rule, kind: Kind) {
        self.metrics.faults_injected.add(1);
        self.active.count(at, rule, What::Injected(kind), self.metrics);
    }

    fn shadowed(&mut self, at: usize, rule: &Rule, kind: Kind) {
        self.active.count(at, rule, What::Shadowed(kind), self.metrics);
    }
}
