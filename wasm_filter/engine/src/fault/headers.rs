//! Headers that a fault writes.

use serde_json::Value;

use crate::fault::MARK;
use crate::fault::abort::Header;
use crate::names;
use crate::problem::At;
use crate::reading::Reading;

pub(super) const MAX_HEADERS: usize = 32;
const MAX_NAME: usize = 256;
const MAX_VALUE: usize = 4096;

/// Reads an object of names and values. `read_name` checks a name, and says how it is kept.
pub(super) fn read(
    value: &Value,
    at: &At,
    read_name: impl Fn(&str, &At, &mut Reading) -> Option<Box<str>>,
    reading: &mut Reading,
) -> Option<Vec<Header>> {
    let map = reading.map(value, at)?;
    let few = map.len() <= MAX_HEADERS;
    if !few {
        reading.problem(at, format!("has {} headers, and {MAX_HEADERS} are allowed", map.len()));
    }
    let read: Vec<_> = map
        .iter()
        .map(|(name, value)| {
            let at = at.key(name);
            let Some(name) = read_name(name, &at, reading) else {
                // Of one place one problem.
                return None;
            };
            read_value(value, &at, reading).map(|value| (name, value))
        })
        .collect();
    read.into_iter().collect::<Option<Vec<_>>>().filter(|_| few)
}

/// The name of a header that a rule may write, as it is written.
pub(super) fn name(name: &str, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let good = names::is_token(name) && name.len() <= MAX_NAME;
    reading.check(good, at, "is not a header name")?;
    let detail = "is a header that no rule may change: the message would fall apart, or go astray";
    reading.check(!names::is_bound_header(name), at, detail)?;
    let is_mark = name.eq_ignore_ascii_case(MARK);
    reading.check(!is_mark, at, "is HFI's own mark; mark: false in the spec leaves it away")?;
    Some(name.into())
}

/// The same, in lower case.
pub(super) fn lower_name(text: &str, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    Some(name(text, at, reading)?.to_ascii_lowercase().into())
}

fn read_value(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let value = reading.text_of(value, at, 0..=MAX_VALUE)?;
    reading.check(names::is_header_value(value), at, "must hold no control characters")?;
    Some(value.into())
}
