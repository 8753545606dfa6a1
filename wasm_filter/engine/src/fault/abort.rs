//! Answering in the upstream's place.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::chance::Chance;
use crate::fault::headers;
use crate::fault::reading::part_chance;
use crate::problem::At;
use crate::reading::{Members, Reading, or_default};

/// A header's name, as written in the policy, and its value.
pub type Header = (Box<str>, Box<str>);

/// End the request here.
#[derive(Debug, Clone, PartialEq)]
pub struct Abort {
    /// How.
    pub end: End,
    /// Headers of the answer, sorted by name. None for a reset.
    pub headers: Vec<Header>,
    /// A roll of its own for this part.
    pub chance: Chance,
}

/// How an aborted request ends.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// With an answer. For a gRPC request the proxy maps it to a gRPC status.
    Http {
        /// From 200 to 599.
        status: u16,
        /// The body, when it is to have one.
        body: Option<Box<str>>,
    },
    /// With a gRPC answer: trailers only.
    Grpc {
        /// From 0 to 16.
        status: u8,
        /// `grpc-message`.
        message: Option<Box<str>>,
    },
    /// Without any: the stream or the connection is reset.
    Reset,
}

/// Statuses that end a request: those below are no answer yet.
pub(super) const STATUSES: RangeInclusive<i64> = 200..=599;
const MAX_BODY_BYTES: usize = 65_536;
const MAX_GRPC_MESSAGE: usize = 1024;

/// Reads an `abort`.
pub(super) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Abort> {
    const WAYS: [&str; 3] = ["httpStatus", "grpcStatus", "reset"];
    const KNOWN: [&str; 7] =
        ["httpStatus", "grpcStatus", "reset", "body", "grpcMessage", "headers", "percentage"];
    let members = &reading.object(value, at, &KNOWN)?;
    let mut end = None;
    for way in WAYS {
        let Some(value) = members.optional(way) else { continue };
        end = read_end(way, value, &at.key(way), reading);
    }
    let body = or_default(members.optional("body"), None, |value| {
        read_body(value, &at.key("body"), reading).map(Some)
    });
    let message = or_default(members.optional("grpcMessage"), None, |value| {
        read_message(value, &at.key("grpcMessage"), reading).map(Some)
    });
    let headers = or_default(members.optional("headers"), Vec::new(), |value| {
        headers::read(value, &at.key("headers"), headers::name, reading)
    });
    let chance = part_chance(members, at, reading);
    let way = members.exactly_one(&WAYS, at, reading)?;
    goes_with(way, members, at, reading)?;
    // RFC 9110, section 6.4.1. Over HTTP/1.1 a client would take a body for the beginning of the next answer.
    if let (Some(End::Http { status: status @ (204 | 304), .. }), Some(Some(body))) = (&end, &body) {
        let detail = format!("goes with no answer of status {status}: it may have none");
        reading.check(body.is_empty(), &at.key("body"), &detail)?;
    }
    let end = match end? {
        End::Http { status, .. } => End::Http { status, body: body? },
        End::Grpc { status, .. } => End::Grpc { status, message: message? },
        End::Reset => End::Reset,
    };
    let read = Abort { end, headers: headers?, chance: chance? };
    (!members.strange).then_some(read)
}

fn read_end(way: &str, value: &Value, at: &At, reading: &mut Reading) -> Option<End> {
    match way {
        "httpStatus" => {
            let status = reading.whole(value, at, STATUSES)?;
            Some(End::Http { status: u16::try_from(status).ok()?, body: None })
        }
        "grpcStatus" => {
            let status = reading.whole(value, at, 0..=16)?;
            Some(End::Grpc { status: u8::try_from(status).ok()?, message: None })
        }
        _ => reading.check(*value == true, at, "must be true").map(|()| End::Reset),
    }
}

/// A member that would do nothing beside the way it stands with is a mistake.
fn goes_with(way: &str, members: &Members<'_>, at: &At, reading: &mut Reading) -> Option<()> {
    const ONLY: [(&str, &[&str], &str); 3] = [
        ("body", &["httpStatus"], "goes with httpStatus only"),
        ("grpcMessage", &["grpcStatus"], "goes with grpcStatus only"),
        ("headers", &["httpStatus", "grpcStatus"], "goes with httpStatus and grpcStatus only"),
    ];
    let mut good = Some(());
    for (member, ways, detail) in ONLY {
        let alone = members.optional(member).is_some() && !ways.contains(&way);
        good = reading.check(!alone, &at.key(member), detail).and(good);
    }
    good
}

/// Reads the body of an answer.
pub(super) fn read_body(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let body = reading.text(value, at)?;
    if body.len() > MAX_BODY_BYTES {
        reading.problem(at, format!("has {} bytes, and {MAX_BODY_BYTES} are allowed", body.len()));
        return None;
    }
    Some(body.into())
}

fn read_message(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<str>> {
    let message = reading.text_of(value, at, 0..=MAX_GRPC_MESSAGE)?;
    let printable = !message.chars().any(char::is_control);
    reading.check(printable, at, "must hold no control characters")?;
    Some(message.into())
}
