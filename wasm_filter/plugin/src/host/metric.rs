//! Metrics of the host.

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// A counter, by its name in Envoy without the prefix.
pub fn counter(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// A gauge, likewise.
pub fn gauge(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Gauge, name).ok()
}

/// A histogram, likewise.
pub fn histogram(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Histogram, name).ok()
}

/// Adds to a counter or to a gauge.
pub fn add(metric: u32, count: i64) {
    let _ = hostcalls::increment_metric(metric, count);
}

/// Sets a gauge, or puts a value into a histogram.
pub fn record(metric: u32, value: u64) {
    let _ = hostcalls::record_metric(metric, value);
}
