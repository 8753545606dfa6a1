//! Changing a request or a response on its way.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::chance::Chance;
use crate::fault::abort::{Header, STATUSES, read_body};
use crate::fault::headers;
use crate::fault::reading::part_chance;
use crate::problem::At;
use crate::reading::{Reading, or_default};

/// What becomes of headers: removals first, then `set`, then `add`. Names are in lower case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edits {
    /// Replaces every value of the header.
    pub set: Vec<Header>,
    /// Adds one value.
    pub add: Vec<Header>,
    /// Takes every value away.
    pub remove: Vec<Box<str>>,
}

/// What a request is changed to.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRewrite {
    /// Its headers.
    pub headers: Edits,
    /// A roll of its own for this part.
    pub chance: Chance,
}

/// What a response is changed to.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseRewrite {
    /// Another status.
    pub status: Option<u16>,
    /// Its headers.
    pub headers: Edits,
    /// Another body; of whatever length the old one is, it is never buffered.
    pub body: Option<Box<str>>,
    /// So many bytes of the body, then a reset.
    pub truncate: Option<u64>,
    /// So many kibibytes a second. Asked of Envoy's own fault filter, with the request.
    pub bandwidth_kbps: Option<u32>,
    /// A roll of its own for this part.
    pub chance: Chance,
}

const MAX_TRUNCATE_BYTES: i64 = 1 << 40;
const MAX_KBPS: i64 = 10_000_000;

const BODY_AND_BANDWIDTH: &str = "holds body and bandwidth; only one of them is allowed: the bandwidth slows the \
    upstream's own body, which is replaced";

/// Reads a fault's `request`.
pub(super) fn read_request(value: &Value, at: &At, reading: &mut Reading) -> Option<RequestRewrite> {
    let members = reading.object(value, at, &["headers", "percentage"])?;
    let headers = members
        .required("headers", at, reading)
        .and_then(|value| read_edits(value, &at.key("headers"), reading));
    let chance = part_chance(&members, at, reading);
    let read = RequestRewrite { headers: headers?, chance: chance? };
    (!members.strange).then_some(read)
}

/// Reads a fault's `response`.
pub(super) fn read_response(value: &Value, at: &At, reading: &mut Reading) -> Option<ResponseRewrite> {
    const PARTS: [&str; 5] = ["status", "headers", "body", "truncate", "bandwidth"];
    const KNOWN: [&str; 6] = ["status", "headers", "body", "truncate", "bandwidth", "percentage"];
    let members = &reading.object(value, at, &KNOWN)?;
    let status = or_default(members.optional("status"), None, |value| {
        let status = reading.whole(value, &at.key("status"), STATUSES)?;
        u16::try_from(status).ok().map(Some)
    });
    let headers = or_default(members.optional("headers"), Edits::default(), |value| {
        read_edits(value, &at.key("headers"), reading)
    });
    let body = or_default(members.optional("body"), None, |value| {
        read_body(value, &at.key("body"), reading).map(Some)
    });
    let truncate = or_default(members.optional("truncate"), None, |value| {
        let bytes = read_number("bytes", 0..=MAX_TRUNCATE_BYTES, value, &at.key("truncate"), reading)?;
        Some(Some(bytes.unsigned_abs()))
    });
    let bandwidth_kbps = or_default(members.optional("bandwidth"), None, |value| {
        let kbps = read_number("kbps", 1..=MAX_KBPS, value, &at.key("bandwidth"), reading)?;
        u32::try_from(kbps).ok().map(Some)
    });
    let chance = part_chance(members, at, reading);
    let given = |part: &str| members.optional(part).is_some();
    let something = PARTS.into_iter().any(given) || members.strange;
    reading.check(something, at, "needs at least one of status, headers, body, truncate and bandwidth")?;
    let both = given("body") && given("truncate");
    reading.check(!both, at, "holds body and truncate; only one of them is allowed")?;
    reading.check(!(given("body") && given("bandwidth")), at, BODY_AND_BANDWIDTH)?;
    let read = ResponseRewrite {
        status: status?,
        headers: headers?,
        body: body?,
        truncate: truncate?,
        bandwidth_kbps: bandwidth_kbps?,
        chance: chance?,
    };
    (!members.strange).then_some(read)
}

/// An object of one whole number.
fn read_number(
    key: &'static str,
    range: RangeInclusive<i64>,
    value: &Value,
    at: &At,
    reading: &mut Reading,
) -> Option<i64> {
    let members = reading.object(value, at, &[key])?;
    let number = members.required(key, at, reading)?;
    let number = reading.whole(number, &at.key(key), range)?;
    (!members.strange).then_some(number)
}

fn read_edits(value: &Value, at: &At, reading: &mut Reading) -> Option<Edits> {
    let members = reading.object(value, at, &["set", "add", "remove"])?;
    let written = |key: &'static str, reading: &mut Reading| {
        or_default(members.optional(key), Vec::new(), |value| {
            headers::read(value, &at.key(key), headers::lower_name, reading)
        })
    };
    let (set, add) = (written("set", reading), written("add", reading));
    let remove = or_default(members.optional("remove"), Vec::new(), |value| {
        read_names(value, &at.key("remove"), reading)
    });
    let edits = Edits { set: set?, add: add?, remove: remove? };
    let something = edits != Edits::default() || members.strange;
    reading.check(something, at, "changes nothing: needs something to set, add or remove")?;
    (!members.strange).then_some(edits)
}

fn read_names(value: &Value, at: &At, reading: &mut Reading) -> Option<Vec<Box<str>>> {
    let list = reading.list(value, at)?;
    let few = list.len() <= headers::MAX_HEADERS;
    if !few {
        let most = headers::MAX_HEADERS;
        reading.problem(at, format!("has {} names, and {most} are allowed", list.len()));
    }
    let mut names = Vec::with_capacity(list.len());
    let mut good = few;
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let name = reading.text(value, &at).and_then(|name| headers::lower_name(name, &at, reading));
        good &= name.is_some();
        names.extend(name);
    }
    good.then_some(names)
}
