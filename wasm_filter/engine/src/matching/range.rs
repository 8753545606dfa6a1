//! Numbers that a match may name: which try it is, and the status of a response.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::problem::At;
use crate::reading::{Reading, or_default};
use crate::request::{Request, RequestView};

/// Longer retrying is a mistake of its own.
const ATTEMPTS: RangeInclusive<i64> = 1..=1000;
const STATUSES: RangeInclusive<i64> = 100..=599;

/// Which try the request is. What cannot be read counts as the first, as no header at all does.
pub(super) fn attempt<V: RequestView>(request: &Request<'_, V>) -> u32 {
    let mut attempt = None;
    request.any_value("x-envoy-attempt-count", &mut |value| {
        let digits = value.iter().all(u8::is_ascii_digit);
        attempt = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|value| value.parse().ok());
        true
    });
    attempt.unwrap_or(1).max(1)
}

/// Reads `attempt`.
pub(super) fn read_attempt(value: &Value, at: &At, reading: &mut Reading) -> Option<RangeInclusive<u32>> {
    let (least, most) = read(value, at, ATTEMPTS, reading)?;
    Some(u32::try_from(least.unwrap_or(1)).ok()?..=most.map_or(Some(u32::MAX), |most| most.try_into().ok())?)
}

/// Reads `response`.
pub(super) fn read_response(value: &Value, at: &At, reading: &mut Reading) -> Option<RangeInclusive<u16>> {
    let members = reading.object(value, at, &["status"])?;
    let status = members.required("status", at, reading)?;
    let (least, most) = read(status, &at.key("status"), STATUSES, reading)?;
    let read =
        u16::try_from(least.unwrap_or(0)).ok()?..=most.map_or(Some(u16::MAX), |most| most.try_into().ok())?;
    (!members.strange).then_some(read)
}

/// `{exact}`, or `{min, max}` of which one may be missing.
fn read(
    value: &Value,
    at: &At,
    allowed: RangeInclusive<i64>,
    reading: &mut Reading,
) -> Option<(Option<i64>, Option<i64>)> {
    let members = reading.object(value, at, &["exact", "min", "max"])?;
    let number = |key: &'static str, reading: &mut Reading| {
        or_default(members.optional(key), None, |value| {
            reading.whole(value, &at.key(key), allowed.clone()).map(Some)
        })
    };
    let (exact, min, max) = (number("exact", reading), number("min", reading), number("max", reading));
    let given = |key| members.optional(key).is_some();
    let range = given("min") || given("max");
    let one = given("exact") != range || (members.strange && !range);
    reading.check(one, at, "needs either exact, or min, max or both")?;
    let (exact, min, max) = (exact?, min?, max?);
    let ordered = min.zip(max).is_none_or(|(min, max)| min <= max);
    reading.check(ordered, at, "holds a min above its max")?;
    (!members.strange).then_some((exact.or(min), exact.or(max)))
}
