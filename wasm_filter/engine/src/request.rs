//! What a request looks like to the rules.

use std::borrow::Cow;
use std::cell::OnceCell;

/// One value of a header, or a path: bytes, for HTTP promises no UTF-8.
pub type Text<'v> = Cow<'v, [u8]>;

/// A request, as the host has it. Each part is asked for at most once a decision, and only when some rule
/// needs it, for every question is a call out of the VM.
pub trait RequestView {
    /// `:method`; empty when there is none.
    fn method(&self) -> Text<'_>;
    /// `:path` as the host hands it over, with query and fragment; empty when there is none.
    fn path(&self) -> Text<'_>;
    /// Every value of a header, in order; `name` is in lower case. Empty when the header is absent.
    fn header(&self, name: &str) -> Vec<Text<'_>>;
}

/// A view that remembers what it was asked. Lives for one decision.
pub(crate) struct Request<'v, V> {
    view: &'v V,
    method: OnceCell<Text<'v>>,
    path: OnceCell<Text<'v>>,
    headers: Vec<(&'v str, Vec<Text<'v>>)>,
}

impl<'v, V: RequestView> Request<'v, V> {
    pub(crate) fn new(view: &'v V) -> Self {
        Request { view, method: OnceCell::new(), path: OnceCell::new(), headers: Vec::new() }
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.method.get_or_init(|| self.view.method())
    }

    /// The path that rules see: without query and fragment.
    pub(crate) fn path(&self) -> &[u8] {
        without_query(self.path.get_or_init(|| self.view.path()))
    }

    pub(crate) fn header(&mut self, name: &'v str) -> &[Text<'v>] {
        let known = self.headers.iter().position(|(known, _)| *known == name);
        let at = known.unwrap_or_else(|| {
            let mut values = self.view.header(name);
            if let (true, Some(twin)) = (values.is_empty(), twin(name)) {
                values = self.view.header(twin);
            }
            self.headers.push((name, values));
            self.headers.len() - 1
        });
        self.headers.get(at).map_or(&[], |(_, values)| values)
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
