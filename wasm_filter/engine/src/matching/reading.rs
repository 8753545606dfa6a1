//! Reading a `match`.

use serde_json::Value;

use crate::matching::ways::{header_name, named, parameter_name, read_authority, read_method, read_path};
use crate::matching::{GrpcMatch, Match, range};
use crate::names;
use crate::problem::At;
use crate::reading::{Members, Reading, or_default};

/// Of a service or a method of gRPC, in characters.
const MAX_NAME: usize = 256;
/// Matchers of headers, and of parameters.
const MAX_MATCHERS: usize = 32;
const MAX_ANY_OF: usize = 16;
/// The match of a rule is the first. Every one more is a call more on the worker's stack.
const MAX_DEPTH: usize = 4;

/// Reads the `match` of a rule.
pub(crate) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Match> {
    const KNOWN: [&str; 10] =
        ["path", "method", "authority", "headers", "query", "grpc", "attempt", "anyOf", "not", "response"];
    let members = reading.object(value, at, &KNOWN)?;
    let response = or_default(members.optional("response"), None, |value| {
        range::read_response(value, &at.key("response"), reading).map(Some)
    });
    let read = read_request(members, at, 1, reading);
    Some(Match { response: response?, ..read? })
}

/// Whether a `match` asks for a response, good or bad: what its fault may hold depends on it.
pub(crate) fn looks_at_response(value: &Value) -> bool {
    value.get("response").is_some_and(|response| !response.is_null())
}

/// Reads a list of matches that look at the request alone, such as `exclude`.
pub(crate) fn list(value: &Value, at: &At, most: usize, reading: &mut Reading) -> Option<Vec<Match>> {
    read_list(value, at, most, |value, at, reading| read_inner(value, at, 1, reading), reading)
}

/// One that looks at the request alone.
fn read_inner(value: &Value, at: &At, depth: usize, reading: &mut Reading) -> Option<Match> {
    const KNOWN: [&str; 9] =
        ["path", "method", "authority", "headers", "query", "grpc", "attempt", "anyOf", "not"];
    let detail = "is nested too deeply: at most four matches within each other";
    reading.check(depth <= MAX_DEPTH, at, detail)?;
    let members = reading.object(value, at, &KNOWN)?;
    read_request(members, at, depth, reading)
}

fn read_request(members: Members<'_>, at: &At, depth: usize, reading: &mut Reading) -> Option<Match> {
    let path = or_default(members.optional("path"), None, |value| {
        read_path(value, &at.key("path"), reading).map(Some)
    });
    let method = or_default(members.optional("method"), None, |value| {
        read_method(value, &at.key("method"), reading).map(Some)
    });
    let authority = or_default(members.optional("authority"), None, |value| {
        read_authority(value, &at.key("authority"), reading).map(Some)
    });
    let headers = or_default(members.defaulted("headers"), Vec::new(), |value| {
        let read = |value: &Value, at: &At, reading: &mut Reading| named(value, at, header_name, reading);
        read_list(value, &at.key("headers"), MAX_MATCHERS, read, reading)
    });
    let query = or_default(members.defaulted("query"), Vec::new(), |value| {
        let read = |value: &Value, at: &At, reading: &mut Reading| named(value, at, parameter_name, reading);
        read_list(value, &at.key("query"), MAX_MATCHERS, read, reading)
    });
    let grpc = or_default(members.optional("grpc"), None, |value| {
        read_grpc(value, &at.key("grpc"), reading).map(Some)
    });
    let attempt = or_default(members.optional("attempt"), None, |value| {
        range::read_attempt(value, &at.key("attempt"), reading).map(Some)
    });
    let any_of = or_default(members.optional("anyOf"), Vec::new(), |value| {
        read_any_of(value, &at.key("anyOf"), depth, reading)
    });
    let not = or_default(members.optional("not"), None, |value| {
        read_inner(value, &at.key("not"), depth + 1, reading).map(Box::new).map(Some)
    });
    let read = Match {
        path: path?,
        method: method?,
        authority: authority?,
        headers: headers?,
        query: query?,
        grpc: grpc?,
        attempt: attempt?,
        any_of: any_of?,
        not: not?,
        response: None,
    };
    (!members.strange).then_some(read)
}

fn read_any_of(value: &Value, at: &At, depth: usize, reading: &mut Reading) -> Option<Vec<Match>> {
    let read = |value: &Value, at: &At, reading: &mut Reading| read_inner(value, at, depth + 1, reading);
    let list = read_list(value, at, MAX_ANY_OF, read, reading)?;
    reading.check(!list.is_empty(), at, "needs at least one match")?;
    Some(list)
}

fn read_list<T>(
    value: &Value,
    at: &At,
    most: usize,
    mut read: impl FnMut(&Value, &At, &mut Reading) -> Option<T>,
    reading: &mut Reading,
) -> Option<Vec<T>> {
    let list = reading.list(value, at)?;
    let few = list.len() <= most;
    if !few {
        reading.problem(at, format!("has {} matchers, and {most} are allowed", list.len()));
    }
    let read: Vec<_> =
        list.iter().enumerate().map(|(index, value)| read(value, &at.index(index), reading)).collect();
    read.into_iter().collect::<Option<Vec<_>>>().filter(|_| few)
}

fn read_grpc(value: &Value, at: &At, reading: &mut Reading) -> Option<GrpcMatch> {
    let members = reading.object(value, at, &["service", "method"])?;
    let service = or_default(members.optional("service"), None, |value| {
        let at = at.key("service");
        let text = reading.text_of(value, &at, 1..=MAX_NAME)?;
        let detail = "must be a service with its package, such as shop.v1.Cart";
        reading.check(names::is_grpc_service(text), &at, detail).map(|()| Some(text.into()))
    });
    let method = or_default(members.optional("method"), None, |value| {
        let at = at.key("method");
        let text = reading.text_of(value, &at, 1..=MAX_NAME)?;
        let detail = "must be a method of a service, such as AddItem";
        reading.check(names::is_grpc_method(text), &at, detail).map(|()| Some(text.into()))
    });
    let read = GrpcMatch { service: service?, method: method? };
    (!members.strange).then_some(read)
}
