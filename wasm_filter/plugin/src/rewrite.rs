//! Changing headers on their way.

use hfi_engine::fault::rewrite::{Edits, ResponseRewrite};

use crate::answer::Reply;
use crate::body::Body;
use crate::host::stream::{self, Side};

/// What says something of a body that is not there any more.
const OF_THE_OLD_BODY: [&str; 9] = [
    "accept-ranges",
    "content-digest",
    "content-encoding",
    "content-md5",
    "content-range",
    "digest",
    "etag",
    "last-modified",
    "repr-digest",
];

/// Changes headers of the active context: removals first, then `set`, then `add`.
pub fn edit(side: Side, edits: &Edits) {
    for name in &edits.remove {
        stream::remove_header(side, name);
    }
    for (name, value) in &edits.set {
        stream::replace_header(side, name, value);
    }
    for (name, value) in &edits.add {
        stream::add_header(side, name, value);
    }
}

/// The status of the response of the active context; 0 when there is none.
pub fn status() -> u16 {
    let status = stream::header(Side::Response, ":status").unwrap_or_default();
    std::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// What is still to be done to a response whose headers were changed.
pub enum Rest {
    /// Nothing, or something to its body.
    Of(Body),
    /// All of it is replaced.
    Whole(Reply),
}

/// Whether the response of the active context has a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// It has one.
    Some,
    /// It has none.
    None,
    /// It answers a HEAD: its headers speak of a body that nobody gets.
    Head,
}

/// Changes the headers of the response of the active context.
pub fn respond(rewrite: &ResponseRewrite, length: Length) -> Rest {
    let status = match rewrite.status {
        Some(status) => {
            stream::replace_header(Side::Response, ":status", &status.to_string());
            status
        }
        None => status(),
    };
    let body = if has_no_body(status) { Some("") } else { rewrite.body.as_deref() };
    if let Some(body) = body {
        for name in OF_THE_OLD_BODY {
            stream::remove_header(Side::Response, name);
        }
        // What trailers follow ends with them, and not after so many bytes. Elsewhere than in gRPC, too, they may be all
        // that comes by HTTP/2: then no chunk is there to be replaced. Where the upstream says a length, there is one.
        let may_be_trailers_alone = length != Length::None && !has_length();
        if has_no_body(status) || is_grpc() || may_be_trailers_alone {
            stream::remove_header(Side::Response, "content-length");
        } else {
            stream::replace_header(Side::Response, "content-length", &body.len().to_string());
        }
    } else if length == Length::None && rewrite.status.is_some() {
        // That of a 304 is the length of a body that another status would have to send.
        stream::remove_header(Side::Response, "content-length");
    }
    edit(Side::Response, &rewrite.headers);
    match (length, body, rewrite.truncate) {
        (Length::None, Some(body), _) if !body.is_empty() => Rest::Whole(Reply::new(status, body)),
        (Length::Some, Some(body), _) => Rest::Of(Body::Replaced(Some(body.into()))),
        (Length::Some, None, Some(bytes)) => Rest::Of(Body::Cut(bytes)),
        _ => Rest::Of(Body::Kept),
    }
}

/// RFC 9110, section 6.4.1.
fn has_no_body(status: u16) -> bool {
    matches!(status, 204 | 304)
}

/// Whether the upstream says how long its body is, which is not nothing.
fn has_length() -> bool {
    stream::header(Side::Response, "content-length").is_some_and(|length| length != b"0")
}

fn is_grpc() -> bool {
    stream::header(Side::Response, "content-type").is_some_and(|kind| kind.starts_with(b"application/grpc"))
}
