//! Durations, such as `250ms`: exact, in nanoseconds.

use std::time::Duration;

use serde_json::Value;

use crate::problem::At;
use crate::reading::Reading;

/// An hour. Whatever waits longer has been given up by its client long before.
pub(super) const MAX_DELAY_MS: i64 = 3_600_000;

/// Reads a duration above 0, up to an hour.
pub(super) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Duration> {
    let duration = read_any(value, at, reading)?;
    let good = !duration.is_zero() && duration <= most();
    reading.check(good, at, "must be longer than 0 and at most 1h")?;
    Some(duration)
}

/// Reads a duration from 0 to an hour.
pub(super) fn read_or_zero(value: &Value, at: &At, reading: &mut Reading) -> Option<Duration> {
    let duration = read_any(value, at, reading)?;
    reading.check(duration <= most(), at, "must be at most 1h")?;
    Some(duration)
}

fn read_any(value: &Value, at: &At, reading: &mut Reading) -> Option<Duration> {
    let duration = parse(reading.text(value, at)?);
    reading.check(duration.is_some(), at, "must be a duration, such as 250ms, 1.5s, 2m or 1h")?;
    duration
}

fn most() -> Duration {
    Duration::from_millis(MAX_DELAY_MS.unsigned_abs())
}

/// A number with up to nine digits and six decimals, and its unit.
fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|char: char| char.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let (whole, decimals) = match number.split_once('.') {
        Some((whole, decimals)) => (digits(whole, 9)?, digits(decimals, 6)? * scale(decimals)),
        None => (digits(number, 9)?, 0),
    };
    // A millionth of a millisecond is a nanosecond. At most 10^9 * 10^6 * 3,600,000, which u128 holds with ease.
    let nanos = (u128::from(whole) * 1_000_000 + u128::from(decimals)) * unit_ms;
    // What does not fit is some centuries, which the caller refuses anyway.
    Some(u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos))
}

pub(super) fn digits(text: &str, most: usize) -> Option<u64> {
    let good = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// What makes millionths of a number with these decimals.
fn scale(decimals: &str) -> u64 {
    (decimals.len()..6).fold(1, |scale, _| scale * 10)
}
