//! Metrics of the host.

use crate::abi::{Metric, imports};

/// A counter, by its name in Envoy without the prefix.
pub fn counter(name: &str) -> Option<u32> {
    imports::define_metric(Metric::Counter, name)
}

/// A gauge, likewise.
pub fn gauge(name: &str) -> Option<u32> {
    imports::define_metric(Metric::Gauge, name)
}

/// A histogram, likewise.
pub fn histogram(name: &str) -> Option<u32> {
    imports::define_metric(Metric::Histogram, name)
}

/// Adds to a counter or to a gauge.
pub fn add(metric: u32, count: i64) {
    imports::increment_metric(metric, count);
}

/// Sets a gauge, or puts a value into a histogram.
pub fn record(metric: u32, value: u64) {
    imports::record_metric(metric, value);
}
