//! Whether a rule's `match` holds for a request (design, section 3, decisions 1 and 2).

mod grpc;
mod query;
mod range;
mod reading;
mod text;
mod ways;

use std::ops::RangeInclusive;

use crate::pattern::Pattern;
use crate::request::{Request, RequestView};

pub use self::grpc::{GrpcMatch, is_grpc};
pub use self::text::{HeaderMatch, HeaderWant, TextMatch};

pub(crate) use self::reading::{list, looks_at_response, read};
pub(crate) use self::ways::header_name;

/// A rule's `match`: all of it must hold; empty holds for every request.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// The path without query and fragment.
    pub path: Option<TextMatch>,
    /// The method, exactly.
    pub method: Option<Box<str>>,
    /// `:authority`, in lower case.
    pub authority: Option<TextMatch>,
    /// The headers, in the document's order.
    pub headers: Vec<HeaderMatch>,
    /// Parameters of the query, likewise; names are compared as they are.
    pub query: Vec<HeaderMatch>,
    /// The request is a call of gRPC.
    pub grpc: Option<GrpcMatch>,
    /// Which try it is, from 1, by `x-envoy-attempt-count`; without it, the first.
    pub attempt: Option<RangeInclusive<u32>>,
    /// At least one of these holds, unless there is none.
    pub any_of: Vec<Match>,
    /// This does not hold.
    pub not: Option<Box<Match>>,
    /// The status of the response. Only at the top: the rule is asked when the response is there.
    pub response: Option<RangeInclusive<u16>>,
}

/// The first part of a match that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch<'s> {
    /// The path.
    Path,
    /// The method.
    Method,
    /// The authority.
    Authority,
    /// The header of that name.
    Header(&'s str),
    /// The query's parameter of that name.
    Query(&'s str),
    /// It is no call of gRPC, or not that one.
    Grpc,
    /// It is another try.
    Attempt,
    /// None of `anyOf` holds.
    AnyOf,
    /// What must not hold does.
    Not,
    /// The rule is not for what its policy excludes.
    Excluded,
}

impl Match {
    /// Why the request does not match; `None` when it does. `response` is not looked at.
    ///
    /// Path and query come first: of a request they are asked for once, and most rules are told apart by them.
    pub(crate) fn mismatch<V: RequestView>(&self, request: &Request<'_, V>) -> Option<Mismatch<'_>> {
        if self.path.as_ref().is_some_and(|path| !path.holds(request.path())) {
            return Some(Mismatch::Path);
        }
        if self.method.as_ref().is_some_and(|method| method.as_bytes() != request.method()) {
            return Some(Mismatch::Method);
        }
        if let Some(parameter) = self.query.iter().find(|parameter| !query::holds(parameter, request.query()))
        {
            return Some(Mismatch::Query(&parameter.name));
        }
        if self.authority.as_ref().is_some_and(|authority| !text::authority_holds(authority, request)) {
            return Some(Mismatch::Authority);
        }
        if let Some(header) = self.headers.iter().find(|header| !header.holds(request)) {
            return Some(Mismatch::Header(&header.name));
        }
        if self.grpc.as_ref().is_some_and(|call| !call.holds(request)) {
            return Some(Mismatch::Grpc);
        }
        if self.attempt.as_ref().is_some_and(|wanted| !wanted.contains(&range::attempt(request))) {
            return Some(Mismatch::Attempt);
        }
        if !self.any_of.is_empty() && self.any_of.iter().all(|one| one.mismatch(request).is_some()) {
            return Some(Mismatch::AnyOf);
        }
        let not = self.not.as_ref()?;
        not.mismatch(request).is_none().then_some(Mismatch::Not)
    }

    /// Every pattern in it, however deep.
    pub(crate) fn patterns(&self) -> Box<dyn Iterator<Item = &Pattern> + '_> {
        let texts = self.path.iter().chain(&self.authority).filter_map(TextMatch::pattern);
        let named = self.headers.iter().chain(&self.query).filter_map(HeaderMatch::pattern);
        let inner = self.any_of.iter().chain(self.not.as_deref()).flat_map(Match::patterns);
        Box::new(texts.chain(named).chain(inner))
    }
}
