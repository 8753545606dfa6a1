//! Server-sent events, read by the book: the WHATWG HTML standard, section 9.2.6.
//!
//! Whole bodies only. A proxy-wasm HTTP call hands over a response when it is complete, so there is no stream
//! to read bit by bit.

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The last event id so far; empty when none was given.
    pub id: String,
    /// Its type; `message` when none was given.
    pub event: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// Every event of a body. Comments, unknown fields, events without data, and a last event that the body ends in
/// the middle of, are not among them. Bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn events(body: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut found = Vec::new();
    let (mut id, mut event, mut data) = (String::new(), String::new(), None::<String>);
    for line in complete_lines(text) {
        if line.is_empty() {
            let event = std::mem::take(&mut event);
            if let Some(data) = data.take() {
                let event = if event.is_empty() { "message".to_owned() } else { event };
                found.push(Event { id: id.clone(), event, data });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut data {
                Some(lines) => {
                    lines.push('\n');
                    lines.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut event),
            "id" if !value.contains('\0') => value.clone_into(&mut id),
            // A comment has an empty name; `retry` would tell a browser what our own backoff decides.
            _ => {}
        }
    }
    found
}

/// The lines that have an end: CR LF, LF or CR.
fn complete_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (line, after) = rest.split_once(['\r', '\n'])?;
        let was_cr = rest.as_bytes().get(line.len()) == Some(&b'\r');
        rest = if was_cr { after.strip_prefix('\n').unwrap_or(after) } else { after };
        Some(line)
    })
}
