//! Reading a `fault`.

use std::time::Duration;

use serde_json::Value;

use crate::chance::Chance;
use crate::fault::duration::MAX_DELAY_MS;
use crate::fault::{Fault, abort, delay, rewrite, sequence};
use crate::matching;
use crate::problem::At;
use crate::reading::{Members, Reading, or_default};

const MAX_DURATION_SECONDS: i64 = 31_536_000;
const MAX_TIMES: i64 = 1_000_000_000;

/// The parts of a fault: at least one has to be there.
const PARTS: [&str; 5] = ["delay", "abort", "sequence", "request", "response"];

/// Reads a `fault`. `late`: its rule is asked only when the response is there. `duration_seconds` is checked and
/// then left to whoever knows when the policy was applied.
pub(crate) fn read(value: &Value, at: &At, late: bool, reading: &mut Reading) -> Option<Fault> {
    const KNOWN: [&str; 10] = [
        "percentage",
        "sticky",
        "times",
        "delay",
        "abort",
        "sequence",
        "request",
        "response",
        "start_delay_ms",
        "duration_seconds",
    ];
    let members = &reading.object(value, at, &KNOWN)?;
    let chance = or_default(members.defaulted("percentage"), Chance::ALWAYS, |value| {
        chance(value, &at.key("percentage"), reading)
    });
    let sticky = or_default(members.optional("sticky"), None, |value| {
        read_sticky(value, &at.key("sticky"), reading).map(Some)
    });
    let times = or_default(members.optional("times"), None, |value| {
        reading.whole(value, &at.key("times"), 1..=MAX_TIMES).map(|times| Some(times.unsigned_abs()))
    });
    let delay = or_default(members.optional("delay"), None, |value| {
        delay::read(value, &at.key("delay"), reading).map(Some)
    });
    let abort = or_default(members.optional("abort"), None, |value| {
        abort::read(value, &at.key("abort"), reading).map(Some)
    });
    let sequence = or_default(members.optional("sequence"), Box::default(), |value| {
        sequence::read(value, &at.key("sequence"), reading)
    });
    let request = or_default(members.optional("request"), None, |value| {
        rewrite::read_request(value, &at.key("request"), reading).map(Some)
    });
    let response = or_default(members.optional("response"), None, |value| {
        rewrite::read_response(value, &at.key("response"), reading).map(Some)
    });
    let start_delay_ms = or_default(members.defaulted("start_delay_ms"), 0, |value| {
        reading.whole(value, &at.key("start_delay_ms"), 0..=MAX_DELAY_MS)
    });
    let duration = or_default(members.defaulted("duration_seconds"), 0, |value| {
        reading.whole(value, &at.key("duration_seconds"), 0..=MAX_DURATION_SECONDS)
    });
    let together = parts(members, at, reading);
    let in_time = if late { in_time(members, at, reading) } else { Some(()) };
    duration.and(together).and(in_time)?;
    let read = Fault {
        chance: chance?,
        sticky: sticky?,
        times: times?,
        sequence: sequence?,
        start_delay: Duration::from_millis(start_delay_ms?.unsigned_abs()),
        delay: delay?,
        abort: abort?,
        request: request?,
        response: response?,
    };
    (!members.strange).then_some(read)
}

/// Whether the parts go together. At most one problem: they all lie at the fault.
fn parts(members: &Members<'_>, at: &At, reading: &mut Reading) -> Option<()> {
    let given = |part: &str| members.optional(part).is_some();
    // A misspelt part beside none is one problem, not two.
    if !PARTS.into_iter().any(given) && !members.strange {
        let detail = "needs at least one of delay, abort, sequence, request and response";
        return reading.check(false, at, detail);
    }
    if given("abort") && given("sequence") {
        return reading.check(false, at, "holds abort and sequence; only one of them is allowed");
    }
    let answered = given("abort") || given("sequence");
    let changed = given("request") || given("response");
    let detail = "holds an abort or a sequence beside request or response: an aborted request has neither";
    reading.check(!(answered && changed), at, detail)
}

/// Whether each part can still happen when the response is there.
fn in_time(members: &Members<'_>, at: &At, reading: &mut Reading) -> Option<()> {
    const LATE: &str = "comes too late: the rule looks at the response";
    let mut good = Some(());
    for part in ["abort", "sequence", "request"] {
        let is_there = members.optional(part).is_some();
        good = reading.check(!is_there, &at.key(part), LATE).and(good);
    }
    if let Some(delay) = members.optional("delay").and_then(Value::as_object) {
        // A phase that is none is a problem of its own.
        let late = delay.get("phase").is_none_or(|phase| phase == "request");
        let detail = "comes too late: the rule looks at the response; say phase: response";
        good = reading.check(!late, &at.key("delay"), detail).and(good);
    }
    let response = members.optional("response").and_then(Value::as_object);
    let bandwidth = response.and_then(|response| response.get("bandwidth")).filter(|value| !value.is_null());
    let at = at.key("response");
    reading.check(bandwidth.is_none(), &at.key("bandwidth"), LATE).and(good)
}

fn read_sticky(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let members = reading.object(value, at, &["header"])?;
    let header = members.required("header", at, reading)?;
    let header = matching::header_name(header, &at.key("header"), reading)?;
    (!members.strange).then_some(header)
}

/// Reads a percentage.
pub(super) fn chance(value: &Value, at: &At, reading: &mut Reading) -> Option<Chance> {
    let chance = value.as_f64().and_then(Chance::from_percentage);
    reading.check(chance.is_some(), at, "must be a number from 0 to 100, with at most four decimals")?;
    chance
}

/// Reads the `percentage` of one part, which is 100 when it is not there.
pub(super) fn part_chance(members: &Members<'_>, at: &At, reading: &mut Reading) -> Option<Chance> {
    or_default(members.optional("percentage"), Chance::ALWAYS, |value| {
        chance(value, &at.key("percentage"), reading)
    })
}
