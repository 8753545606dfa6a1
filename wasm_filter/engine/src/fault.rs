//! What a rule does to a request.

use std::time::Duration;

use serde_json::Value;

use crate::chance::Chance;
use crate::names;
use crate::problem::At;
use crate::reading::{Reading, or_default};

/// One event: wait `start_delay`, then the delay, then abort.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// How often the rule fires.
    pub chance: Chance,
    /// What to wait, before the rest, when anything is injected.
    pub start_delay: Duration,
    /// Hold the request back.
    pub delay: Option<Delay>,
    /// Answer in the upstream's place.
    pub abort: Option<Abort>,
}

/// Hold the request back for a fixed time.
#[derive(Debug, Clone, PartialEq)]
pub struct Delay {
    /// For how long.
    pub fixed: Duration,
    /// A roll of its own for this part.
    pub chance: Chance,
}

/// Answer in the upstream's place.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    /// From 200 to 599.
    pub status: u16,
    /// The response's body, when it is to have one.
    pub body: Option<Box<str>>,
    /// Headers of the response, names as written in the policy, sorted.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// A roll of its own for this part.
    pub chance: Chance,
}

const MAX_DELAY_MS: i64 = 3_600_000;
const MAX_DURATION_SECONDS: i64 = 31_536_000;
const MAX_BODY_BYTES: usize = 65_536;
const MAX_HEADERS: usize = 32;
const MAX_HEADER_NAME: usize = 256;
const MAX_HEADER_VALUE: usize = 4096;

/// Reads a `fault`. `duration_seconds` is checked and then left to whoever knows when the policy was applied.
pub(crate) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Fault> {
    const KNOWN: [&str; 5] = ["percentage", "delay", "abort", "start_delay_ms", "duration_seconds"];
    let members = reading.object(value, at, &KNOWN)?;
    let percentage = members.defaulted("percentage");
    let chance =
        or_default(percentage, Chance::ALWAYS, |value| chance(value, &at.key("percentage"), reading));
    let delay = or_default(members.optional("delay"), None, |value| {
        read_delay(value, &at.key("delay"), reading).map(Some)
    });
    let abort = or_default(members.optional("abort"), None, |value| {
        read_abort(value, &at.key("abort"), reading).map(Some)
    });
    let start_delay_ms = or_default(members.defaulted("start_delay_ms"), 0, |value| {
        reading.whole(value, &at.key("start_delay_ms"), 0..=MAX_DELAY_MS)
    });
    let duration = or_default(members.defaulted("duration_seconds"), 0, |value| {
        reading.whole(value, &at.key("duration_seconds"), 0..=MAX_DURATION_SECONDS)
    });
    let something = members.optional("delay").or(members.optional("abort")).is_some();
    // A misspelt part beside none is one problem, not two.
    reading.check(something || members.strange, at, "needs a delay, an abort, or both")?;
    duration?;
    let start_delay = Duration::from_millis(start_delay_ms?.unsigned_abs());
    let read = Fault { chance: chance?, start_delay, delay: delay?, abort: abort? };
    (!members.strange).then_some(read)
}

fn read_delay(value: &Value, at: &At, reading: &mut Reading) -> Option<Delay> {
    let members = reading.object(value, at, &["fixedDelay", "percentage"])?;
    let fixed = members
        .required("fixedDelay", at, reading)
        .and_then(|value| fixed_delay(value, &at.key("fixedDelay"), reading));
    let percentage = members.optional("percentage");
    let chance =
        or_default(percentage, Chance::ALWAYS, |value| chance(value, &at.key("percentage"), reading));
    let read = Delay { fixed: fixed?, chance: chance? };
    (!members.strange).then_some(read)
}

fn read_abort(value: &Value, at: &At, reading: &mut Reading) -> Option<Abort> {
    let members = reading.object(value, at, &["httpStatus", "body", "headers", "percentage"])?;
    let status = members
        .required("httpStatus", at, reading)
        .and_then(|value| reading.whole(value, &at.key("httpStatus"), 200..=599))
        .and_then(|status| u16::try_from(status).ok());
    let body = or_default(members.optional("body"), None, |value| {
        read_body(value, &at.key("body"), reading).map(Some)
    });
    let headers = or_default(members.optional("headers"), Vec::new(), |value| {
        read_headers(value, &at.key("headers"), reading)
    });
    let percentage = members.optional("percentage");
    let chance =
        or_default(percentage, Chance::ALWAYS, |value| chance(value, &at.key("percentage"), reading));
    let read = Abort { status: status?, body: body?, headers: headers?, chance: chance? };
    (!members.strange).then_some(read)
}

fn read_body(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let body = reading.text(value, at)?;
    if body.len() > MAX_BODY_BYTES {
        reading.problem(at, format!("has {} bytes, and {MAX_BODY_BYTES} are allowed", body.len()));
        return None;
    }
    Some(body.into())
}

fn read_headers(value: &Value, at: &At, reading: &mut Reading) -> Option<Vec<(Box<str>, Box<str>)>> {
    let map = reading.map(value, at)?;
    let few = map.len() <= MAX_HEADERS;
    if !few {
        reading.problem(at, format!("has {} headers, and {MAX_HEADERS} are allowed", map.len()));
    }
    let read: Vec<_> =
        map.iter().map(|(name, value)| read_header(name, value, &at.key(name), reading)).collect();
    read.into_iter().collect::<Option<Vec<_>>>().filter(|_| few)
}

fn read_header(name: &str, value: &Value, at: &At, reading: &mut Reading) -> Option<(Box<str>, Box<str>)> {
    let good_name = names::is_token(name) && name.len() <= MAX_HEADER_NAME;
    let good_name = reading.check(good_name, at, "is not a header name");
    let value = reading.text_of(value, at, 0..=MAX_HEADER_VALUE)?;
    reading.check(names::is_header_value(value), at, "must hold no control characters")?;
    good_name.map(|()| (name.into(), value.into()))
}

fn chance(value: &Value, at: &At, reading: &mut Reading) -> Option<Chance> {
    let chance = value.as_f64().and_then(Chance::from_percentage);
    reading.check(chance.is_some(), at, "must be a number from 0 to 100, with at most four decimals")?;
    chance
}

fn fixed_delay(value: &Value, at: &At, reading: &mut Reading) -> Option<Duration> {
    let text = reading.text(value, at)?;
    let duration = duration(text);
    reading.check(duration.is_some(), at, "must be a duration, such as 250ms, 1.5s, 2m or 1h")?;
    let most = Duration::from_millis(MAX_DELAY_MS.unsigned_abs());
    let good = duration.is_some_and(|duration| !duration.is_zero() && duration <= most);
    reading.check(good, at, "must be longer than 0 and at most 1h")?;
    duration
}

/// A number with up to nine digits and six decimals, and its unit: exact, in nanoseconds.
fn duration(text: &str) -> Option<Duration> {
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

fn digits(text: &str, most: usize) -> Option<u64> {
    let good = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// What makes millionths of a number with these decimals.
fn scale(decimals: &str) -> u64 {
    (decimals.len()..6).fold(1, |scale, _| scale * 10)
}
