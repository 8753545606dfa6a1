//! Drawing a delay.
//!
//! Computed in seconds as floats, and cut to the delay's own bounds at the end: whatever the parameters are, and
//! whatever overflows on the way, the result is a duration within them.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::chance::{Chance, Rolls};
use crate::fault::Fault;
use crate::fault::delay::DelayTime;

impl DelayTime {
    /// Draws one. Nothing is rolled for a fixed one.
    pub fn draw(&self, rolls: &mut impl Rolls) -> Duration {
        match self {
            DelayTime::Fixed(fixed) => *fixed,
            DelayTime::Uniform { min, max } => {
                let drawn = between(*min, *max, rolls.uniform());
                cut(drawn, *min, *max)
            }
            DelayTime::Normal { mean, stddev, max } => {
                let drawn = mean.as_secs_f64() + stddev.as_secs_f64() * standard_normal(rolls);
                cut(drawn, Duration::ZERO, *max)
            }
            DelayTime::LogNormal { median, sigma, max } => {
                let drawn = median.as_secs_f64() * (sigma * standard_normal(rolls)).exp();
                cut(drawn, Duration::ZERO, *max)
            }
            DelayTime::Pareto { scale, shape, max } => {
                let drawn = scale.as_secs_f64() / above_zero(rolls).powf(shape.recip());
                cut(drawn, *scale, *max)
            }
            DelayTime::Percentiles(points) => quantile(points, rolls.uniform()),
        }
    }

    /// Whether it is the same for every request.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self, DelayTime::Fixed(_))
    }
}

impl Fault {
    /// Whether anything in it is left to chance.
    pub(crate) fn rolls(&self) -> bool {
        let abort = self.abort.iter().chain(self.sequence.iter().flatten());
        let parts = (abort.map(|abort| abort.chance))
            .chain(self.delay.iter().map(|delay| delay.chance))
            .chain(self.request.iter().map(|request| request.chance))
            .chain(self.response.iter().map(|response| response.chance));
        let open = self.chance.is_open() || parts.into_iter().any(Chance::is_open);
        self.chance != Chance::NEVER
            && (open || self.delay.as_ref().is_some_and(|delay| !delay.time.is_fixed()))
    }
}

/// By Box and Muller.
fn standard_normal(rolls: &mut impl Rolls) -> f64 {
    let radius = (-2.0 * above_zero(rolls).ln()).sqrt();
    radius * (TAU * rolls.uniform()).cos()
}

/// From above 0 up to, and with, 1: what a logarithm and a division can take.
fn above_zero(rolls: &mut impl Rolls) -> f64 {
    1.0 - rolls.uniform()
}

/// The value at this share, linearly between the points on both sides of it; beyond them, that of the last.
fn quantile(points: &[(f64, Duration)], share: f64) -> Duration {
    let after = points.partition_point(|(point, _)| *point <= share);
    let below = after.checked_sub(1).and_then(|below| points.get(below));
    match (below, points.get(after)) {
        (Some((from, low)), Some((to, high))) => {
            cut(between(*low, *high, (share - from) / (to - from)), *low, *high)
        }
        (Some((_, only)), None) | (None, Some((_, only))) => *only,
        (None, None) => Duration::ZERO,
    }
}

fn between(low: Duration, high: Duration, share: f64) -> f64 {
    low.as_secs_f64() + share * (high.as_secs_f64() - low.as_secs_f64())
}

/// The duration within the bounds; what is no number becomes the lower one.
fn cut(seconds: f64, least: Duration, most: Duration) -> Duration {
    let bounded = seconds.max(least.as_secs_f64()).min(most.as_secs_f64());
    // Only a negative number or one beyond five hundred billion years cannot be a duration.
    Duration::try_from_secs_f64(bounded).map_or(least, |drawn| drawn.max(least).min(most))
}
