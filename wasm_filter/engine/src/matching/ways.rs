//! Reading the ways of comparing a text: of paths, methods, authorities, headers and parameters.

use serde_json::Value;

use crate::matching::{HeaderMatch, HeaderWant, TextMatch};
use crate::names;
use crate::problem::At;
use crate::reading::{Reading, or_default};

/// Longer texts are almost surely a mistake. All lengths are in characters.
const MAX_TEXT: usize = 4096;
const MAX_REGEX: usize = 1024;
const MAX_METHOD: usize = 64;
const MAX_NAME: usize = 256;
const MAX_AUTHORITY: usize = 253;

pub(super) fn read_path(value: &Value, at: &At, reading: &mut Reading) -> Option<TextMatch> {
    const WAYS: [&str; 3] = ["exact", "prefix", "regex"];
    let members = reading.object(value, at, &WAYS)?;
    let mut read = None;
    for way in WAYS {
        let Some(value) = members.optional(way) else { continue };
        let at = at.key(way);
        read = match way {
            "exact" => path_text(value, &at, reading).map(TextMatch::Exact),
            "prefix" => path_text(value, &at, reading).map(TextMatch::Prefix),
            _ => regex(value, &at, reading),
        };
    }
    members.exactly_one(&WAYS, at, reading)?;
    read.filter(|_| !members.strange)
}

fn path_text(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let text = reading.text_of(value, at, 0..=MAX_TEXT)?;
    reading.check(text.starts_with('/'), at, "must start with '/'")?;
    let detail = "must hold no '?' and no '#': the path is matched without query and fragment";
    reading.check(!text.contains(['?', '#']), at, detail)?;
    Some(text.into())
}

pub(super) fn read_method(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let members = reading.object(value, at, &["exact"])?;
    let value = members.required("exact", at, reading)?;
    let at = at.key("exact");
    let text = reading.text_of(value, &at, 1..=MAX_METHOD)?;
    let detail = "must be a method in upper case, such as POST: methods are case-sensitive";
    reading.check(names::is_method(text), &at, detail)?;
    (!members.strange).then(|| text.into())
}

pub(super) fn read_authority(value: &Value, at: &At, reading: &mut Reading) -> Option<TextMatch> {
    const WAYS: [&str; 5] = ["exact", "prefix", "suffix", "contains", "regex"];
    let members = reading.object(value, at, &WAYS)?;
    let mut read = None;
    for way in WAYS {
        let Some(value) = members.optional(way) else { continue };
        read = authority_text(way, value, &at.key(way), reading);
    }
    members.exactly_one(&WAYS, at, reading)?;
    read.filter(|_| !members.strange)
}

fn authority_text(way: &str, value: &Value, at: &At, reading: &mut Reading) -> Option<TextMatch> {
    if way == "regex" {
        return regex(value, at, reading);
    }
    let text = reading.text_of(value, at, 1..=MAX_AUTHORITY)?;
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    reading.check(lower, at, "must be in lower case, as the authority is compared")?;
    Some(text_match(way, text.into()))
}

/// A matcher of a header, or of a parameter.
pub(super) fn named(
    value: &Value,
    at: &At,
    read_name: impl FnOnce(&Value, &At, &mut Reading) -> Option<Box<str>>,
    reading: &mut Reading,
) -> Option<HeaderMatch> {
    const WAYS: [&str; 6] = ["exact", "prefix", "suffix", "contains", "regex", "present"];
    const KNOWN: [&str; 8] = ["name", "exact", "prefix", "suffix", "contains", "regex", "present", "invert"];
    let members = reading.object(value, at, &KNOWN)?;
    let name =
        members.required("name", at, reading).and_then(|value| read_name(value, &at.key("name"), reading));
    let mut want = None;
    for way in WAYS {
        let Some(value) = members.optional(way) else { continue };
        want = header_want(way, value, &at.key(way), reading);
    }
    let invert =
        or_default(members.defaulted("invert"), false, |value| reading.flag(value, &at.key("invert")));
    members.exactly_one(&WAYS, at, reading)?;
    let read = HeaderMatch { name: name?, want: want?, invert: invert? };
    (!members.strange).then_some(read)
}

/// A header's name, in lower case.
pub(crate) fn header_name(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let text = reading.text_of(value, at, 1..=MAX_NAME)?;
    reading.check(names::is_matchable_header(text), at, "must be a header name, such as x-user-group")?;
    Some(text.to_ascii_lowercase().into())
}

pub(super) fn parameter_name(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    reading.text_of(value, at, 1..=MAX_NAME).map(Into::into)
}

fn header_want(way: &str, value: &Value, at: &At, reading: &mut Reading) -> Option<HeaderWant> {
    if way == "present" {
        return reading.flag(value, at).map(HeaderWant::Present);
    }
    if way == "regex" {
        return regex(value, at, reading).map(HeaderWant::Text);
    }
    // An empty part is in every text: whoever writes one means `present`. An empty value is something else.
    let least = usize::from(way != "exact");
    let text: Box<str> = reading.text_of(value, at, least..=MAX_TEXT)?.into();
    Some(HeaderWant::Text(text_match(way, text)))
}

fn text_match(way: &str, text: Box<str>) -> TextMatch {
    match way {
        "exact" => TextMatch::Exact(text),
        "prefix" => TextMatch::Prefix(text),
        "suffix" => TextMatch::Suffix(text),
        _ => TextMatch::Contains(text),
    }
}

fn regex(value: &Value, at: &At, reading: &mut Reading) -> Option<TextMatch> {
    let source = reading.text_of(value, at, 1..=MAX_REGEX)?;
    reading.pattern(source, at).map(TextMatch::Regex)
}
