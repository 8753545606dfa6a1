//! Whether delays are drawn as a policy says: chi-square against each exact distribution, what is cut off at its
//! ends included. Seeds are fixed; a right engine would fail with one seed in a million, and one that has a parameter
//! a tenth too large or too small does fail: that is shown of each.
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

const DRAWS: usize = 300_000;
const BINS: u32 = 40;
/// Of what lies between the bounds, both ends are looked at more closely: there is what percentiles are about.
const ENDS: [f64; 4] = [0.0005, 0.001, 0.005, 0.01];
/// How many a bin must expect, for the statistic to be chi-square's.
const LEAST: f64 = 10.0;

/// The shares of what lies between the bounds at which one bin ends and the next begins.
fn edges() -> Vec<f64> {
    let alike = (1..BINS).map(|bin| f64::from(bin) / f64::from(BINS));
    let mut edges: Vec<f64> = alike.chain(ENDS).chain(ENDS.map(|end| 1.0 - end)).collect();
    edges.sort_by(f64::total_cmp);
    edges
}

/// Chi-square over bins between the bounds, and those for what is cut to either of them; and its degrees of freedom.
/// Infinite when something is drawn that cannot be.
fn chi_square(time: &DelayTime, law: &Law<'_>, rolls: &mut impl Rolls) -> (f64, usize) {
    let top = (law.cdf)(law.max);
    let edges = edges();
    let between = [vec![0.0], edges.clone(), vec![1.0]].concat();
    let between = between.windows(2).map(|edge| (edge[1] - edge[0]) * (top - law.zero));
    let expected: Vec<f64> = std::iter::once(law.zero).chain(between).chain([1.0 - top]).collect();
    let last = expected.len() - 1;
    let mut counts = vec![0.0; expected.len()];
    for _ in 0..DRAWS {
        let ms = time.draw(rolls).as_secs_f64() * 1e3;
        if !(0.0..=law.max).contains(&ms) {
            return (f64::INFINITY, last);
        }
        let bin = match ms {
            0.0 if law.zero > 0.0 => 0,
            ms if ms >= law.max => last,
            ms => {
                let share = ((law.cdf)(ms) - law.zero) / (top - law.zero);
                1 + edges.partition_point(|edge| *edge <= share)
            }
        };
        counts[bin] += 1.0;
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
    assert!(bins.len() > edges.len() && bins.iter().all(|(_, expected)| *expected > LEAST));
    let statistic = bins.iter().map(|(count, expected)| (count - expected).powi(2) / expected).sum();
    (statistic, bins.len() - 1)
}

/// Draws of a delay follow a law, and those of each `other` are seen not to: a parameter of it is a tenth off.
fn assert_drawn(delay: &Value, law: &Law<'_>, others: &[Value]) {
    let test = |delay: &Value| {
        let rules = snapshot(json!([rule("r", json!({"fault": {"delay": delay}}))]));
        let time = &rules.rules[0].fault.delay.as_ref().unwrap().time;
        let (statistic, degrees) = chi_square(time, law, &mut SeededRolls::new(1));
        (statistic, chi_square_bound(degrees))
    };
    let (statistic, bound) = test(delay);
    assert!(statistic < bound, "{delay}: chi-square is {statistic}, and {bound} is the most");
    for other in others {
        let (statistic, bound) = test(other);
        assert!(statistic > bound, "{other} is not told from {delay}: chi-square is {statistic} of {bound}");
    }
}

/// A number of milliseconds.
fn ms(number: f64) -> String {
    format!("{number:.3}ms")
}

/// Of some parameters, each a tenth more and a tenth less, one at a time. Those that are left out hardly matter.
fn tenths<const N: usize>(parameters: [f64; N], which: &[usize]) -> Vec<[f64; N]> {
    let off = |at: usize, by: f64| {
        let mut other = parameters;
        other[at] *= by;
        other
    };
    which.iter().flat_map(|at| [off(*at, 1.1), off(*at, 0.9)]).collect()
}

#[test]
fn uniform_delays() {
    let delay = |[min, max]: [f64; 2]| json!({"uniform": {"min": ms(min), "max": ms(max)}});
    for (law @ [min, max], which) in [([100.0, 500.0], &[0, 1][..]), ([0.0, 5.0], &[1])] {
        let cdf = |ms: f64| (ms - min) / (max - min);
        let others: Vec<Value> = tenths(law, which).into_iter().map(delay).collect();
        assert_drawn(&delay(law), &Law { cdf: &cdf, max, zero: 0.0 }, &others);
    }
}

#[test]
fn normal_delays_cut_off_at_both_ends() {
    let delay = |[mean, stddev, max]: [f64; 3]| json!({"normal": {"mean": ms(mean), "stddev": ms(stddev), "max": ms(max)}});
    for (law @ [mean, stddev, max], which) in [
        ([100.0, 20.0, 1000.0], &[0, 1][..]),
        ([100.0, 100.0, 250.0], &[0, 1, 2]),
        ([0.0, 30.0, 60.0], &[1, 2]),
    ] {
        let cdf = |ms: f64| normal_cdf((ms - mean) / stddev);
        let others: Vec<Value> = tenths(law, which).into_iter().map(delay).collect();
        assert_drawn(&delay(law), &Law { cdf: &cdf, max, zero: normal_cdf(-mean / stddev) }, &others);
    }
}

#[test]
fn log_normal_delays_cut_off_at_the_top() {
    let delay = |[median, sigma, max]: [f64; 3]| json!({"logNormal": {"median": ms(median), "sigma": sigma, "max": ms(max)}});
    for (law @ [median, sigma, max], which) in [
        ([50.0, 0.5, 3600e3], &[0, 1][..]),
        ([50.0, 1.5, 400.0], &[0, 1, 2]),
        ([1.0, 3.0, 1000.0], &[0, 1, 2]),
    ] {
        let cdf = |ms: f64| normal_cdf((ms / median).ln() / sigma);
        let others: Vec<Value> = tenths(law, which).into_iter().map(delay).collect();
        assert_drawn(&delay(law), &Law { cdf: &cdf, max, zero: 0.0 }, &others);
    }
}

#[test]
fn pareto_delays_cut_off_at_the_top() {
    let delay = |[scale, shape, max]: [f64; 3]| json!({"pareto": {"scale": ms(scale), "shape": shape, "max": ms(max)}});
    for (law @ [scale, shape, max], which) in [
        ([10.0, 1.5, 1000.0], &[0, 1, 2][..]),
        ([10.0, 0.5, 60_000.0], &[0, 1, 2]),
        ([200.0, 20.0, 400.0], &[0, 1]),
    ] {
        let cdf = |ms: f64| 1.0 - (scale / ms).powf(shape);
        let others: Vec<Value> = tenths(law, which).into_iter().map(delay).collect();
        assert_drawn(&delay(law), &Law { cdf: &cdf, max, zero: 0.0 }, &others);
    }
}

#[test]
fn measured_delays_are_linear_between_their_points() {
    let shares = [0.0, 50.0, 90.0, 99.0, 99.9, 100.0];
    let table = |values: [f64; 6]| {
        let points = shares.iter().zip(values).map(|(share, value)| (format!("p{share}"), json!(ms(value))));
        json!({"percentiles": points.collect::<serde_json::Map<_, _>>()})
    };
    let values = [5.0, 20.0, 100.0, 800.0, 2000.0, 3000.0];
    let cdf = |ms: f64| {
        let after = values.iter().position(|value| *value >= ms).unwrap().max(1);
        let (from, to, low, high) = (shares[after - 1], shares[after], values[after - 1], values[after]);
        (from + (ms - low) / (high - low) * (to - from)) / 100.0
    };
    // The last is a matter of one draw in a thousand.
    let others: Vec<Value> = tenths(values, &[0, 1, 2, 3, 4]).into_iter().map(table).collect();
    assert_drawn(&table(values), &Law { cdf: &cdf, max: 3000.0, zero: 0.0 }, &others);
}

#[test]
fn measured_delays_end_at_their_outermost_points() {
    // Below the lowest its value, above the highest its own: a tenth each, here.
    let table = |[low, high, value]: [f64; 3]| json!({"percentiles": {format!("p{low:.1}"): "0ms", format!("p{high:.1}"): ms(value)}});
    let cdf = |ms: f64| 0.1 + 0.8 * ms / 100.0;
    let law = [10.0, 90.0, 100.0];
    let others: Vec<Value> = tenths(law, &[0, 1, 2]).into_iter().map(table).collect();
    assert_drawn(&table(law), &Law { cdf: &cdf, max: 100.0, zero: 0.1 }, &others);
    let table = |[low, high]: [f64; 2]| json!({"percentiles": {"p0": ms(low), "p100": ms(high)}});
    let cdf = |ms: f64| (ms - 50.0) / 50.0;
    let others: Vec<Value> = tenths([50.0, 100.0], &[0, 1]).into_iter().map(table).collect();
    assert_drawn(&table([50.0, 100.0]), &Law { cdf: &cdf, max: 100.0, zero: 0.0 }, &others);
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
