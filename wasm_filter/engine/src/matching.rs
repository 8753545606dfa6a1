//! Whether a rule's `match` holds for a request (design, section 3, decisions 1 and 2).

use memchr::memmem;
use serde_json::Value;

use crate::names;
use crate::pattern::Pattern;
use crate::problem::At;
use crate::reading::{Reading, or_default};
use crate::request::{Request, RequestView};

/// One way of comparing a text.
#[derive(Debug, Clone)]
pub enum TextMatch {
    /// The same bytes.
    Exact(Box<str>),
    /// Begins with these bytes.
    Prefix(Box<str>),
    /// Ends with these bytes.
    Suffix(Box<str>),
    /// Holds these bytes somewhere.
    Contains(Box<str>),
    /// The pattern matches all of it.
    Regex(Pattern),
}

impl TextMatch {
    /// Whether it holds for `text`.
    #[must_use]
    pub fn holds(&self, text: &[u8]) -> bool {
        match self {
            TextMatch::Exact(want) => text == want.as_bytes(),
            TextMatch::Prefix(want) => text.starts_with(want.as_bytes()),
            TextMatch::Suffix(want) => text.ends_with(want.as_bytes()),
            TextMatch::Contains(want) => memmem::find(text, want.as_bytes()).is_some(),
            TextMatch::Regex(pattern) => pattern.matches_whole(text),
        }
    }

    fn pattern(&self) -> Option<&Pattern> {
        match self {
            TextMatch::Regex(pattern) => Some(pattern),
            _ => None,
        }
    }
}

/// What a header must be.
#[derive(Debug, Clone)]
pub enum HeaderWant {
    /// There (`true`) or absent (`false`), with whatever value.
    Present(bool),
    /// There, and at least one of its values compares so.
    Text(TextMatch),
}

/// One header matcher.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// The header's name, in lower case.
    pub name: Box<str>,
    /// What is asked of it.
    pub want: HeaderWant,
    /// Negates the whole answer: an absent header satisfies an inverted text matcher.
    pub invert: bool,
}

/// A rule's `match`: all of it must hold; empty holds for every request.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// The path without query and fragment.
    pub path: Option<TextMatch>,
    /// The method, exactly.
    pub method: Option<Box<str>>,
    /// The headers, in the document's order.
    pub headers: Vec<HeaderMatch>,
}

/// The first part of a match that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch<'s> {
    /// The path.
    Path,
    /// The method.
    Method,
    /// The header of that name.
    Header(&'s str),
}

impl Match {
    /// Why the request does not match; `None` when it does.
    pub(crate) fn mismatch<'s: 'v, 'v, V: RequestView>(
        &'s self,
        request: &mut Request<'v, V>,
    ) -> Option<Mismatch<'s>> {
        if self.path.as_ref().is_some_and(|path| !path.holds(request.path())) {
            return Some(Mismatch::Path);
        }
        if self.method.as_ref().is_some_and(|method| method.as_bytes() != request.method()) {
            return Some(Mismatch::Method);
        }
        let failed = self.headers.iter().find(|header| !header.holds(request))?;
        Some(Mismatch::Header(&failed.name))
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let in_headers = self.headers.iter().filter_map(|header| match &header.want {
            HeaderWant::Text(text) => text.pattern(),
            HeaderWant::Present(_) => None,
        });
        self.path.iter().filter_map(TextMatch::pattern).chain(in_headers)
    }
}

impl HeaderMatch {
    fn holds<'s: 'v, 'v, V: RequestView>(&'s self, request: &mut Request<'v, V>) -> bool {
        let values = request.header(&self.name);
        let answer = match &self.want {
            HeaderWant::Present(present) => *present != values.is_empty(),
            HeaderWant::Text(text) => values.iter().any(|value| text.holds(value)),
        };
        answer != self.invert
    }
}

/// Longer texts are almost surely a mistake. All lengths are in characters.
const MAX_TEXT: usize = 4096;
const MAX_REGEX: usize = 1024;
const MAX_METHOD: usize = 64;
const MAX_HEADER_NAME: usize = 256;
const MAX_HEADERS: usize = 32;

/// Reads a `match`.
pub(crate) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Match> {
    let members = reading.object(value, at, &["path", "method", "headers"])?;
    let path = or_default(members.optional("path"), None, |value| {
        read_path(value, &at.key("path"), reading).map(Some)
    });
    let method = or_default(members.optional("method"), None, |value| {
        read_method(value, &at.key("method"), reading).map(Some)
    });
    let headers = or_default(members.defaulted("headers"), Vec::new(), |value| {
        read_headers(value, &at.key("headers"), reading)
    });
    let read = Match { path: path?, method: method?, headers: headers? };
    (!members.strange).then_some(read)
}

fn read_path(value: &Value, at: &At, reading: &mut Reading) -> Option<TextMatch> {
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

fn read_method(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let members = reading.object(value, at, &["exact"])?;
    let value = members.required("exact", at, reading)?;
    let at = at.key("exact");
    let text = reading.text_of(value, &at, 1..=MAX_METHOD)?;
    let detail = "must be a method in upper case, such as POST: methods are case-sensitive";
    reading.check(names::is_method(text), &at, detail)?;
    (!members.strange).then(|| text.into())
}

fn read_headers(value: &Value, at: &At, reading: &mut Reading) -> Option<Vec<HeaderMatch>> {
    let list = reading.list(value, at)?;
    let few = list.len() <= MAX_HEADERS;
    if !few {
        reading.problem(at, format!("has {} matchers, and {MAX_HEADERS} are allowed", list.len()));
    }
    let read: Vec<_> =
        list.iter().enumerate().map(|(index, value)| read_header(value, &at.index(index), reading)).collect();
    read.into_iter().collect::<Option<Vec<_>>>().filter(|_| few)
}

fn read_header(value: &Value, at: &At, reading: &mut Reading) -> Option<HeaderMatch> {
    const WAYS: [&str; 6] = ["exact", "prefix", "suffix", "contains", "regex", "present"];
    const KNOWN: [&str; 8] = ["name", "exact", "prefix", "suffix", "contains", "regex", "present", "invert"];
    let members = reading.object(value, at, &KNOWN)?;
    let name =
        members.required("name", at, reading).and_then(|value| header_name(value, &at.key("name"), reading));
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

fn header_name(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let text = reading.text_of(value, at, 1..=MAX_HEADER_NAME)?;
    reading.check(names::is_matchable_header(text), at, "must be a header name, such as x-user-group")?;
    Some(text.to_ascii_lowercase().into())
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
    Some(HeaderWant::Text(match way {
        "exact" => TextMatch::Exact(text),
        "prefix" => TextMatch::Prefix(text),
        "suffix" => TextMatch::Suffix(text),
        _ => TextMatch::Contains(text),
    }))
}

fn regex(value: &Value, at: &At, reading: &mut Reading) -> Option<TextMatch> {
    let source = reading.text_of(value, at, 1..=MAX_REGEX)?;
    reading.pattern(source, at).map(TextMatch::Regex)
}
