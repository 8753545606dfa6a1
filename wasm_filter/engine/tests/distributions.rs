//! Whether delays are drawn as a policy says: chi-square against each exact distribution, what is cut off at its
//! ends included. Seeds are fixed; a right engine would fail with one seed in a million.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use common::yardsticks::{assert_binomial, chi_square_bound, normal_cdf};
use common::{Asked, Proxy, rule, snapshot};
use hfi_engine::chance::{Rolls, SeededRolls};
use hfi_engine::fault::delay::DelayTime;
use serde_json::{Value, json};

/// The exact distribution of a delay, in milliseconds.
struct Law<'l> {
    /// `P(X <= x)` within the bounds: from its least value up to, and without, its greatest.
    cdf: &'l dyn Fn(f64) -> f64,
    /// The greatest.
    max: f64,
    /// The chance of being cut to 0.
    zero: f64,
}

const DRAWS: usize = 200_000;
const BINS: usize = 40;
/// How many a bin must expect, for the statistic to be chi-square's.
const LEAST: f64 = 10.0;

/// Chi-square over bins of equal chance between the bounds, and those for what is cut to either of them; and its
/// degrees of freedom.
fn chi_square(time: &DelayTime, law: &Law<'_>, rolls: &mut impl Rolls) -> (f64, usize) {
    let top = (law.cdf)(law.max);
    let share = (top - law.zero) / BINS as f64;
    let expected = [vec![law.zero], vec![share; BINS], vec![1.0 - top]].concat();
    let mut counts = vec![0.0; BINS + 2];
    for _ in 0..DRAWS {
        let ms = time.draw(rolls).as_secs_f64() * 1e3;
        assert!((0.0..=law.max).contains(&ms));
        let bin = match ms {
            0.0 if law.zero > 0.0 => 0,
            ms if ms >= law.max => BINS + 1,
            ms => 1 + (((law.cdf)(ms) - law.zero) / share) as usize,
        };
        counts[bin.min(BINS + 1)] += 1.0;
    }
    let mut bins: Vec<(f64, f64)> =
        counts.into_iter().zip(expected).map(|(count, share)| (count, share * DRAWS as f64)).collect();
    // Where hardly anything is cut off, it goes with what stands beside it.
    if bins[0].1 < LEAST {
        let (count, expected) = bins.remove(0);
        bins[0] = (bins[0].0 + count, bins[0].1 + expected);
    }
    if let Some((count, expected)) = bins.pop_if(|(_, expected)| *expected < LEAST) {
        let last = bins.last_mut().unwrap();
        *last = (last.0 + count, last.1 + expected);
    }
    assert!(bins.len() >= BINS && bins.iter().all(|(_, expected)| *expected > LEAST));
    let statistic = bins.iter().map(|(count, expected)| (count - expected).powi(2) / expected).sum();
    (statistic, bins.len() - 1)
}

fn assert_drawn(delay: Value, law: &Law<'_>) {
    let what = delay.to_string();
    let rules = snapshot(json!([rule("r", json!({"fault": {"delay": delay}}))]));
    let time = &rules.rules[0].fault.delay.as_ref().unwrap().time;
    let (statistic, degrees) = chi_square(time, law, &mut SeededRolls::new(1));
    let bound = chi_square_bound(degrees);
    assert!(statistic < bound, "{what}: chi-square is {statistic}, and {bound} is the most");
}

#[test]
fn uniform_delays() {
    let cdf = |ms: f64| (ms - 100.0) / 400.0;
    assert_drawn(
        json!({"uniform": {"min": "100ms", "max": "500ms"}}),
        &Law { cdf: &cdf, max: 500.0, zero: 0.0 },
    );
    let cdf = |ms: f64| ms / 5.0;
    assert_drawn(json!({"uniform": {"min": "0ms", "max": "5ms"}}), &Law { cdf: &cdf, max: 5.0, zero: 0.0 });
}

#[test]
fn normal_delays_cut_off_at_both_ends() {
    for (mean, stddev, max) in [(100.0, 20.0, 1000.0), (100.0, 100.0, 250.0), (0.0, 30.0, 60.0)] {
        let cdf = |ms: f64| normal_cdf((ms - mean) / stddev);
        let normal =
            json!({"mean": format!("{mean}ms"), "stddev": format!("{stddev}ms"), "max": format!("{max}ms")});
        assert_drawn(json!({"normal": normal}), &Law { cdf: &cdf, max, zero: normal_cdf(-mean / stddev) });
    }
}

#[test]
fn log_normal_delays_cut_off_at_the_top() {
    for (median, sigma, max) in [(50.0, 0.5, 3600e3), (50.0, 1.5, 400.0), (1.0, 3.0, 1000.0)] {
        let cdf = |ms: f64| normal_cdf((ms / median).ln() / sigma);
        let normal = json!({"median": format!("{median}ms"), "sigma": sigma, "max": format!("{max}ms")});
        assert_drawn(json!({"logNormal": normal}), &Law { cdf: &cdf, max, zero: 0.0 });
    }
}

#[test]
fn pareto_delays_cut_off_at_the_top() {
    for (scale, shape, max) in [(10.0, 1.5, 1000.0), (10.0, 0.5, 60_000.0), (200.0, 20.0, 400.0)] {
        let cdf = |ms: f64| 1.0 - (scale / ms).powf(shape);
        let pareto = json!({"scale": format!("{scale}ms"), "shape": shape, "max": format!("{max}ms")});
        assert_drawn(json!({"pareto": pareto}), &Law { cdf: &cdf, max, zero: 0.0 });
    }
}

#[test]
fn measured_delays_are_linear_between_their_points() {
    let points = [(0.0, 5.0), (50.0, 20.0), (90.0, 100.0), (99.0, 800.0), (99.9, 2000.0), (100.0, 3000.0)];
    let cdf = |ms: f64| {
        let after = points.iter().position(|(_, value)| *value >= ms).unwrap().max(1);
        let ((from, low), (to, high)) = (points[after - 1], points[after]);
        (from + (ms - low) / (high - low) * (to - from)) / 100.0
    };
    let table = json!({
        "p0": "5ms", "p50": "20ms", "p90": "100ms", "p99": "800ms", "p99.9": "2s", "p100": "3s",
    });
    assert_drawn(json!({"percentiles": table}), &Law { cdf: &cdf, max: 3000.0, zero: 0.0 });
    // Below the lowest point its value, above the highest its own: a tenth each, here.
    let cdf = |ms: f64| 0.1 + 0.8 * ms / 100.0;
    let table = json!({"p10": "0ms", "p90": "100ms"});
    assert_drawn(json!({"percentiles": table}), &Law { cdf: &cdf, max: 100.0, zero: 0.1 });
}

#[test]
fn seeded_delays_follow_their_law_too() {
    let delay = json!({"normal": {"mean": "100ms", "stddev": "100ms", "max": "250ms"}});
    let rules = snapshot(json!([rule("r", json!({"seed": 5, "fault": {"delay": delay}}))]));
    let mut proxy = Proxy::default();
    let mut waits: Vec<f64> = Vec::new();
    for _ in 0..20_000 {
        let injection = proxy.inject(&rules, &Asked::get("/")).unwrap();
        waits.push(injection.wait.unwrap_or_default().as_secs_f64() * 1e3);
    }
    // At each of some points, the share below it is that of the law.
    for point in [0.0, 50.0, 100.0, 150.0, 200.0, 249.0] {
        let below = waits.iter().filter(|wait| **wait <= point).count();
        assert_binomial(below, waits.len(), normal_cdf((point - 100.0) / 100.0), "seeded normal");
    }
}

/// The ends of what can be rolled.
struct Extreme(f64);

impl Rolls for Extreme {
    fn below_million(&mut self) -> u32 {
        0
    }

    fn uniform(&mut self) -> f64 {
        self.0
    }
}

#[test]
fn whatever_is_rolled_a_delay_stays_within_its_bounds() {
    let hour = Duration::from_secs(3600);
    let nano = Duration::from_nanos(1);
    let times = [
        DelayTime::Uniform { min: nano, max: nano },
        DelayTime::Uniform { min: Duration::ZERO, max: hour },
        DelayTime::Normal { mean: hour, stddev: hour, max: hour },
        DelayTime::Normal { mean: Duration::MAX, stddev: Duration::MAX, max: hour },
        DelayTime::LogNormal { median: hour, sigma: 10.0, max: hour },
        DelayTime::LogNormal { median: Duration::MAX, sigma: f64::MAX, max: hour },
        DelayTime::LogNormal { median: Duration::ZERO, sigma: f64::INFINITY, max: hour },
        DelayTime::Pareto { scale: nano, shape: f64::MIN_POSITIVE, max: hour },
        DelayTime::Pareto { scale: nano, shape: 100.0, max: hour },
        DelayTime::Pareto { scale: hour, shape: f64::NAN, max: hour },
        DelayTime::Percentiles(Box::new([(50.0, nano)])),
        DelayTime::Percentiles(Box::new([(50.0, nano), (50.0, hour)])),
        DelayTime::Percentiles(Box::new([])),
    ];
    for time in times {
        for roll in [0.0, f64::EPSILON, 0.25, 0.5, 0.75, 1.0 - f64::EPSILON / 2.0] {
            assert!(time.draw(&mut Extreme(roll)) <= hour, "{time:?} at {roll}");
        }
    }
}
