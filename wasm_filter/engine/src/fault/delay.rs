//! How long a request, or its response, is held back.

use std::time::Duration;

use serde_json::Value;

use crate::chance::Chance;
use crate::fault::reading::part_chance;
use crate::fault::{distribution, duration};
use crate::problem::At;
use crate::reading::{Reading, or_default};

/// Hold back.
#[derive(Debug, Clone, PartialEq)]
pub struct Delay {
    /// For how long.
    pub time: DelayTime,
    /// Whether the request waits, or its response.
    pub phase: Phase,
    /// A roll of its own for this part.
    pub chance: Chance,
}

/// When a delay happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Before the request goes on.
    #[default]
    Request,
    /// Before the response goes on.
    Response,
}

/// A duration, or how it is drawn. Every one but the first is drawn for each request.
#[derive(Debug, Clone, PartialEq)]
pub enum DelayTime {
    /// Always the same.
    Fixed(Duration),
    /// Any in between, alike.
    Uniform {
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
    },
    /// Cut off at 0 and at `max`.
    Normal {
        /// The mean, before it is cut off.
        mean: Duration,
        /// The standard deviation, before it is cut off.
        stddev: Duration,
        /// The most.
        max: Duration,
    },
    /// Its logarithm is normally distributed.
    LogNormal {
        /// Half of them are shorter.
        median: Duration,
        /// The standard deviation of the natural logarithm.
        sigma: f64,
        /// The most.
        max: Duration,
    },
    /// A heavy tail: `scale / u^(1 / shape)` for a uniform `u`.
    Pareto {
        /// The least.
        scale: Duration,
        /// The smaller, the heavier the tail.
        shape: f64,
        /// The most.
        max: Duration,
    },
    /// A measured distribution: shares from 0 to 1 (`p99.9` is 0.999), and what that share of the delays does not
    /// exceed. Interpolated linearly between its points, which ascend in both; below the first point its duration,
    /// above the last point its duration.
    Percentiles(Box<[(f64, Duration)]>),
}

/// Reads a `delay`.
pub(super) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Delay> {
    const WAYS: [&str; 6] = ["fixedDelay", "uniform", "normal", "logNormal", "pareto", "percentiles"];
    const KNOWN: [&str; 8] =
        ["fixedDelay", "uniform", "normal", "logNormal", "pareto", "percentiles", "phase", "percentage"];
    let members = &reading.object(value, at, &KNOWN)?;
    let mut time = None;
    for way in WAYS {
        let Some(value) = members.optional(way) else { continue };
        time = read_time(way, value, &at.key(way), reading);
    }
    let phase = or_default(members.defaulted("phase"), Phase::Request, |value| match value.as_str() {
        Some("request") => Some(Phase::Request),
        Some("response") => Some(Phase::Response),
        _ => {
            reading.problem(&at.key("phase"), "must be request or response");
            None
        }
    });
    let chance = part_chance(members, at, reading);
    members.exactly_one(&WAYS, at, reading)?;
    let read = Delay { time: time?, phase: phase?, chance: chance? };
    (!members.strange).then_some(read)
}

fn read_time(way: &str, value: &Value, at: &At, reading: &mut Reading) -> Option<DelayTime> {
    match way {
        "fixedDelay" => duration::read(value, at, reading).map(DelayTime::Fixed),
        "uniform" => distribution::read_uniform(value, at, reading),
        "normal" => distribution::read_normal(value, at, reading),
        "logNormal" => distribution::read_log_normal(value, at, reading),
        "pareto" => distribution::read_pareto(value, at, reading),
        _ => distribution::read_percentiles(value, at, reading),
    }
}
