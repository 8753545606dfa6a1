//! What the filter counts; Envoy shows it under `wasmcustom.` (METRICS.md).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use hfi_engine::decide::Kind;
use hfi_engine::rule::Rule;

use crate::host;

/// Series of rules, in each VM. Beyond that a rule is counted in the sums alone: policies come and go, and Envoy
/// never forgets a metric.
const MOST_SERIES: usize = 2000;

/// A metric that is defined at first use, so that nothing is asked of the host while a context is built.
pub struct Metric {
    name: &'static str,
    define: fn(&str) -> Option<u32>,
    id: Cell<Option<u32>>,
}

impl Metric {
    fn counter(name: &'static str) -> Metric {
        Metric { name, define: host::counter, id: Cell::new(None) }
    }

    fn gauge(name: &'static str) -> Metric {
        Metric { name, define: host::gauge, id: Cell::new(None) }
    }

    fn id(&self) -> Option<u32> {
        if self.id.get().is_none() {
            self.id.set((self.define)(self.name));
        }
        self.id.get()
    }

    /// Adds to it.
    pub fn add(&self, count: i64) {
        if let Some(id) = self.id() {
            host::add(id, count);
        }
    }

    /// Sets it.
    pub fn set(&self, value: u64) {
        if let Some(id) = self.id() {
            host::set(id, value);
        }
    }
}

/// What can happen to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Matched,
    Injected(Kind),
    Shadowed(Kind),
}

impl What {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// Below [`What::COUNT`].
    pub fn index(self) -> usize {
        match self {
            What::Matched => 0,
            What::Injected(kind) => 1 + kind as usize,
            What::Shadowed(kind) => 4 + kind as usize,
        }
    }

    fn series(self, rule: &Rule) -> String {
        let (what, kind) = match self {
            What::Matched => ("matched", "any"),
            What::Injected(kind) => ("injected", kind.as_str()),
            What::Shadowed(kind) => ("shadowed", kind.as_str()),
        };
        format!("hfi.rule~{what}~{}~{}~{kind}", rule.policy, rule.name)
    }
}

/// All of it.
pub struct Metrics {
    pub total_requests: Metric,
    pub rules_matched: Metric,
    pub faults_injected: Metric,
    pub errors: Metric,
    pub snapshot_version: Metric,
    pub active_delays: Metric,
    series: RefCell<HashMap<String, u32>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            total_requests: Metric::counter("hfi.total_requests"),
            rules_matched: Metric::counter("hfi.rules_matched"),
            faults_injected: Metric::counter("hfi.faults_injected"),
            errors: Metric::counter("hfi.errors"),
            snapshot_version: Metric::gauge("hfi.snapshot_version"),
            active_delays: Metric::gauge("hfi.active_delays"),
            series: RefCell::default(),
        }
    }
}

impl Metrics {
    /// Defines what a dashboard should see at zero rather than not at all.
    pub fn define(&self) {
        for metric in [&self.total_requests, &self.rules_matched, &self.faults_injected, &self.errors] {
            metric.id();
        }
        self.snapshot_version.id();
        self.active_delays.id();
    }

    /// The counter of what happens to one rule; `None` when there are too many already.
    pub fn of_rule(&self, what: What, rule: &Rule) -> Option<u32> {
        let name = what.series(rule);
        let mut series = self.series.borrow_mut();
        if let Some(id) = series.get(&name) {
            return Some(*id);
        }
        if series.len() >= MOST_SERIES {
            return None;
        }
        let id = host::counter(&name)?;
        series.insert(name, id);
        Some(id)
    }
}
