//! Answering in the upstream's place.

pub use hfi_engine::fault::MARK;
use hfi_engine::fault::abort::{Abort, End, Header};
use hfi_engine::injection::Injection;
use hfi_engine::rule::Rule;

use crate::host::stream::{self, Side};
use crate::pairs;

/// `%RESPONSE_CODE_DETAILS%` of what is answered here.
const DETAILS: &str = "hfi_fault";

/// The name of a rule, as in marks.
pub fn name_of(rule: &Rule) -> String {
    [&*rule.policy, "/", &*rule.name].concat()
}

/// Ends the request of the active context as the injection says.
pub fn abort(injection: &Injection) {
    let rule = &injection.rule;
    let Some(Abort { end, headers, .. }) = injection.abort() else { return stream::resume(Side::Request) };
    let name = rule.mark.then(|| name_of(rule));
    let headers = with_mark(headers, name.as_deref());
    match end {
        End::Http { status, body } => {
            stream::respond(*status, DETAILS, &headers, body.as_deref().unwrap_or_default());
        }
        End::Grpc { status, message } => {
            let message = message.as_deref().unwrap_or_default();
            if is_grpc() {
                stream::respond_grpc(*status, DETAILS, &headers, message);
            } else {
                stream::respond(http_status(*status), DETAILS, &headers, message);
            }
        }
        End::Reset => stream::reset(Side::Request),
    }
}

fn with_mark<'a>(headers: &'a [Header], name: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let own = headers.iter().map(|(name, value)| (&**name, &**value));
    own.chain(name.map(|name| (MARK, name))).collect()
}

/// As Envoy tells it, who is to write the answer.
fn is_grpc() -> bool {
    let kind = stream::header(Side::Request, "content-type").unwrap_or_default();
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| rest.first().is_none_or(|next| *next == b'+'))
}

/// The status of HTTP for one of gRPC (google/rpc/code.proto).
fn http_status(grpc: u8) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// A whole response in the place of one that has no body: the host lets nobody add one to it.
pub struct Reply {
    pub status: u16,
    headers: Vec<u8>,
    body: Box<str>,
}

impl Reply {
    /// With the headers that the response of the active context has now, but for those that go with its body.
    pub fn new(status: u16, body: &str) -> Reply {
        let headers = stream::headers(Side::Response);
        let kept = pairs::pairs(&headers).filter_map(|(name, value)| {
            let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
            (!name.starts_with(':') && name != "content-length").then_some((name, value))
        });
        let headers = pairs::serialised(&kept.collect::<Vec<_>>());
        Reply { status, headers, body: body.into() }
    }

    pub fn send(&self) {
        stream::respond_serialised(self.status, DETAILS, &self.headers, &self.body);
    }
}
