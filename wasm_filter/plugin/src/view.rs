//! The request of the active context, as the engine asks for it.

use std::cell::OnceCell;

use hfi_engine::request::{RequestView, Text};
use proxy_wasm::types::Bytes;

use crate::host;
use crate::pairs::pairs;

/// Lives for one decision. Headers are fetched only when some rule asks for one, and then all at once: the host's
/// own look-up answers with the first of several values only, and a rule matches on any of them.
#[derive(Default)]
pub struct View {
    headers: OnceCell<Bytes>,
}

impl RequestView for View {
    fn method(&self) -> Text<'_> {
        host::request_header(":method").unwrap_or_default().into()
    }

    fn path(&self) -> Text<'_> {
        host::request_header(":path").unwrap_or_default().into()
    }

    fn header(&self, name: &str) -> Vec<Text<'_>> {
        let headers = self.headers.get_or_init(host::request_headers);
        // The host keeps names in lower case.
        let found = pairs(headers).filter(|(key, _)| *key == name.as_bytes());
        found.map(|(_, value)| value.into()).collect()
    }
}
