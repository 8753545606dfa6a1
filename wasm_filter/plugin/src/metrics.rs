//! What the filter counts; Envoy shows it under `wasmcustom.` (METRICS.md).
//!
//! Counts are added up here, and handed over by the next tick ([`Metrics::flush`]): one call to the host for many
//! requests, and none on a request's own way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::host::metric as host;

/// Series of rules, in each VM. Further rules have some in common: policies come and go, and Envoy never forgets a
/// metric.
const MOST_SERIES: usize = 2000;

/// A metric that is defined at first use, so that nothing is asked of the host while a context is built.
struct Lazy {
    name: &'static str,
    define: fn(&str) -> Option<u32>,
    id: Cell<Option<u32>>,
}

impl Lazy {
    fn new(name: &'static str, define: fn(&str) -> Option<u32>) -> Lazy {
        Lazy { name, define, id: Cell::new(None) }
    }

    fn id(&self) -> Option<u32> {
        if self.id.get().is_none() {
            self.id.set((self.define)(self.name));
        }
        self.id.get()
    }
}

/// A counter, or a gauge to which all VMs add.
pub struct Sum {
    metric: Lazy,
    pending: Cell<i64>,
}

impl Sum {
    fn new(name: &'static str, define: fn(&str) -> Option<u32>) -> Sum {
        Sum { metric: Lazy::new(name, define), pending: Cell::new(0) }
    }

    /// Adds to it; Envoy knows with the next tick.
    pub fn add(&self, count: i64) {
        self.pending.set(self.pending.get().saturating_add(count));
    }

    fn flush(&self) {
        let pending = self.pending.take();
        if let (true, Some(id)) = (pending != 0, self.metric.id()) {
            host::add(id, pending);
        }
    }
}

/// A gauge that is set, or a histogram.
pub struct Level(Lazy);

impl Level {
    /// Sets it, or puts a value into it.
    pub fn record(&self, value: u64) {
        if let Some(id) = self.0.id() {
            host::record(id, value);
        }
    }
}

/// All of it.
pub struct Metrics {
    pub total_requests: Sum,
    pub rules_matched: Sum,
    pub faults_injected: Sum,
    pub errors: Sum,
    pub active_delays: Sum,
    pub snapshot_version: Level,
    pub snapshot_age_seconds: Level,
    pub delay_ms: Level,
    pub takeover_us: Level,
    series: RefCell<Series>,
}

/// The counters of rules. One that is counted again by a later snapshot is not defined anew.
#[derive(Default)]
struct Series {
    by_name: HashMap<String, usize>,
    counters: Vec<Counter>,
    /// Those with something pending.
    touched: Vec<usize>,
}

struct Counter {
    id: u32,
    pending: i64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            total_requests: Sum::new("hfi.total_requests", host::counter),
            rules_matched: Sum::new("hfi.rules_matched", host::counter),
            faults_injected: Sum::new("hfi.faults_injected", host::counter),
            errors: Sum::new("hfi.errors", host::counter),
            active_delays: Sum::new("hfi.active_delays", host::gauge),
            snapshot_version: Level(Lazy::new("hfi.snapshot_version", host::gauge)),
            snapshot_age_seconds: Level(Lazy::new("hfi.snapshot_age_seconds", host::gauge)),
            delay_ms: Level(Lazy::new("hfi.delay_ms", host::histogram)),
            takeover_us: Level(Lazy::new("hfi.takeover_us", host::histogram)),
            series: RefCell::default(),
        }
    }
}

impl Metrics {
    fn sums(&self) -> [&Sum; 5] {
        [&self.total_requests, &self.rules_matched, &self.faults_injected, &self.errors, &self.active_delays]
    }

    /// Defines what a dashboard should see at zero rather than not at all.
    pub fn define(&self) {
        for sum in self.sums() {
            sum.metric.id();
        }
        for Level(metric) in [&self.snapshot_version, &self.snapshot_age_seconds] {
            metric.id();
        }
    }

    /// Hands over what was counted.
    pub fn flush(&self) {
        for sum in self.sums() {
            sum.flush();
        }
        let Series { counters, touched, .. } = &mut *self.series.borrow_mut();
        for at in touched.drain(..) {
            if let Some(counter) = counters.get_mut(at) {
                host::add(counter.id, std::mem::take(&mut counter.pending));
            }
        }
    }

    /// The series of that name, for [`Metrics::count`]; `None` when there are too many already.
    pub fn series(&self, name: String) -> Option<usize> {
        self.series_within(name, MOST_SERIES)
    }

    /// The same for one of a few, for which there is always room.
    pub fn common_series(&self, name: String) -> Option<usize> {
        self.series_within(name, usize::MAX)
    }

    fn series_within(&self, name: String, most: usize) -> Option<usize> {
        let mut series = self.series.borrow_mut();
        if let Some(at) = series.by_name.get(&name) {
            return Some(*at);
        }
        let at = series.counters.len();
        if at >= most {
            return None;
        }
        let id = host::counter(&name)?;
        series.counters.push(Counter { id, pending: 0 });
        series.by_name.insert(name, at);
        Some(at)
    }

    /// Counts one more in a series.
    pub fn count(&self, at: usize) {
        let Series { counters, touched, .. } = &mut *self.series.borrow_mut();
        let Some(counter) = counters.get_mut(at) else { return };
        if counter.pending == 0 {
            touched.push(at);
        }
        counter.pending += 1;
    }
}
