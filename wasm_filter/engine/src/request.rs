//! What a request looks like to the rules.

use std::borrow::Cow;
use std::cell::OnceCell;

/// One value of a header, or a path: bytes, for HTTP promises no UTF-8.
pub type Text<'v> = Cow<'v, [u8]>;

/// A request, as the host has it. Asked only for what some rule needs, for every question may be a call out of the
/// VM.
pub trait RequestView {
    /// `:method`; empty when there is none. Asked for at most once a decision.
    fn method(&self) -> Text<'_>;
    /// `:path` as the host hands it over, with query and fragment; empty when there is none. Asked for at most once
    /// a decision.
    fn path(&self) -> Text<'_>;
    /// Whether `test` holds for some value of a header; `name` is in lower case. Values come in order, and no more
    /// of them after the first that it holds for.
    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// A view that remembers what it was asked. Lives for one decision.
pub struct Request<'v, V> {
    view: &'v V,
    method: OnceCell<Text<'v>>,
    path: OnceCell<Text<'v>>,
}

impl<'v, V: RequestView> Request<'v, V> {
    /// Of one request.
    pub fn new(view: &'v V) -> Self {
        Request { view, method: OnceCell::new(), path: OnceCell::new() }
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.method.get_or_init(|| self.view.method())
    }

    /// The path that rules see: without query and fragment.
    pub(crate) fn path(&self) -> &[u8] {
        without_query(self.path.get_or_init(|| self.view.path()))
    }

    /// The query, without `?` and fragment; empty when there is none.
    pub(crate) fn query(&self) -> &[u8] {
        let whole: &[u8] = self.path.get_or_init(|| self.view.path());
        let rest = whole.get(self.path().len()..).unwrap_or_default();
        let query = rest.strip_prefix(b"?").unwrap_or_default();
        let end = memchr::memchr(b'#', query).unwrap_or(query.len());
        query.get(..end).unwrap_or(query)
    }

    /// Whether `test` holds for some value of a header.
    pub(crate) fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let Some(twin) = twin(name) else { return self.view.any_value(name, test) };
        let mut there = false;
        let holds = self.view.any_value(name, &mut |value| {
            there = true;
            test(value)
        });
        holds || (!there && self.view.any_value(twin, test))
    }

    /// The first value of a header.
    pub(crate) fn first_value(&self, name: &str) -> Option<Vec<u8>> {
        let mut first = None;
        self.any_value(name, &mut |value| {
            first = Some(value.to_vec());
            true
        });
        first
    }
}

/// `host` and `:authority` are one thing: Envoy hands over the first as the second (RFC 9113, section 8.3.1), and
/// people write either.
fn twin(name: &str) -> Option<&'static str> {
    match name {
        "host" => Some(":authority"),
        ":authority" => Some("host"),
        _ => None,
    }
}

/// The path up to the first `?` or `#`.
#[must_use]
pub fn without_query(path: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    path.get(..end).unwrap_or(path)
}
