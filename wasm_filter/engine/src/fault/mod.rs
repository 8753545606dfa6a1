//! What a rule does to a request.

pub mod abort;
pub mod delay;
mod distribution;
mod duration;
mod headers;
mod reading;
pub mod rewrite;
mod sequence;

use std::time::Duration;

use crate::chance::Chance;
use crate::fault::abort::Abort;
use crate::fault::delay::Delay;
use crate::fault::rewrite::{RequestRewrite, ResponseRewrite};

pub(crate) use self::reading::read;

/// The header that says in a response which rule it comes from: nobody should take an injected fault for a real one.
pub const MARK: &str = "x-hfi-fault";

/// One event: wait `start_delay`, then the delay, then abort; or else change the request or the response.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// How often the rule fires.
    pub chance: Chance,
    /// Rolls are made from the value of this header, in lower case, where the request has it.
    pub sticky: Option<Box<str>>,
    /// Only so many firings, the first, counted over all workers of a proxy since the policy was applied.
    pub times: Option<u64>,
    /// What each firing does in turn, over and over: an abort, or `None` to pass. Empty: no sequence. Never beside
    /// an `abort`.
    pub sequence: Box<[Option<Abort>]>,
    /// What to wait, before the rest, when anything is injected.
    pub start_delay: Duration,
    /// Hold the request or its response back.
    pub delay: Option<Delay>,
    /// Answer in the upstream's place. Never beside a `request` or a `response`.
    pub abort: Option<Abort>,
    /// Change the request.
    pub request: Option<RequestRewrite>,
    /// Change the response.
    pub response: Option<ResponseRewrite>,
}
