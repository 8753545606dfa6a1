//! Comparing texts: of paths, authorities, headers and parameters.

use memchr::memmem;

use crate::pattern::Pattern;
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

    pub(crate) fn pattern(&self) -> Option<&Pattern> {
        match self {
            TextMatch::Regex(pattern) => Some(pattern),
            _ => None,
        }
    }
}

/// What a header, or a parameter of the query, must be.
#[derive(Debug, Clone)]
pub enum HeaderWant {
    /// There (`true`) or absent (`false`), with whatever value.
    Present(bool),
    /// There, and at least one of its values compares so.
    Text(TextMatch),
}

/// One matcher of a header, or of a parameter of the query.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// The name: of a header in lower case, of a parameter as it is.
    pub name: Box<str>,
    /// What is asked of it.
    pub want: HeaderWant,
    /// Negates the whole answer: an absent header satisfies an inverted text matcher.
    pub invert: bool,
}

impl HeaderMatch {
    pub(super) fn holds<V: RequestView>(&self, request: &Request<'_, V>) -> bool {
        self.holds_among(|test| request.any_value(&self.name, test))
    }

    /// `any_value` says whether a test holds for some value of that name.
    pub(super) fn holds_among(&self, any_value: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool) -> bool {
        let answer = match &self.want {
            HeaderWant::Present(present) => *present == any_value(&mut |_| true),
            HeaderWant::Text(text) => any_value(&mut |value| text.holds(value)),
        };
        answer != self.invert
    }

    pub(super) fn pattern(&self) -> Option<&Pattern> {
        match &self.want {
            HeaderWant::Text(text) => text.pattern(),
            HeaderWant::Present(_) => None,
        }
    }
}

/// Whether the request's authority compares so, in lower case: hosts have no case (RFC 9110, section 4.2.3).
pub(super) fn authority_holds<V: RequestView>(want: &TextMatch, request: &Request<'_, V>) -> bool {
    request.any_value(":authority", &mut |authority| {
        // Nearly all are in lower case already, and need no copy.
        match authority.iter().any(u8::is_ascii_uppercase) {
            true => want.holds(&authority.to_ascii_lowercase()),
            false => want.holds(authority),
        }
    })
}
