//! The request of the active context, as the engine asks for it.

use std::cell::OnceCell;

use crate::host::stream::{self, Side};
use crate::pairs::pairs;
use hfi_engine::request::{RequestView, Text};

/// Lives for one decision. The headers come all at once, the path among them: to ask the host for all costs what it
/// costs to ask for one that is there, and a rule that matches is asked about `user-agent` as well, for probes.
#[derive(Default)]
pub struct View {
    headers: OnceCell<Vec<u8>>,
}

impl View {
    /// The same for later: the host has the headers of a request only until it goes on.
    pub fn kept(self) -> View {
        self.headers();
        self
    }

    fn headers(&self) -> &[u8] {
        self.headers.get_or_init(|| stream::headers(Side::Request))
    }

    /// The host keeps names in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        pairs(self.headers()).filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| value)
    }
}

impl RequestView for View {
    fn method(&self) -> Text<'_> {
        self.values(":method").next().unwrap_or_default().into()
    }

    fn path(&self) -> Text<'_> {
        self.values(":path").next().unwrap_or_default().into()
    }

    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.values(name).any(test)
    }
}
