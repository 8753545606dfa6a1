//! What one rule injects into one request: everything that was left to chance is drawn.

use std::rc::Rc;
use std::time::Duration;

use crate::chance::Rolls;
use crate::fault::abort::{Abort, End};
use crate::fault::delay::Phase;
use crate::fault::rewrite::{RequestRewrite, ResponseRewrite};
use crate::rule::Rule;

/// A fault for one request. Hold the request back, then abort or change it; then hold the response back, and
/// change it.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The deciding rule's place in its snapshot.
    pub at: usize,
    /// The deciding rule.
    pub rule: Rc<Rule>,
    /// How long the request is held back, start delay included. Never, when the rule was asked at the response.
    pub wait: Option<Duration>,
    /// How long the response is held back; when the rule was asked at the response, start delay included.
    pub response_wait: Option<Duration>,
    kind: Kind,
    /// The place in the rule's sequence, if it has one.
    turn: Option<usize>,
}

impl Injection {
    /// Rolls for each part, and draws what is random. `None` when every part misses.
    pub(crate) fn draw(
        at: usize,
        rule: &Rc<Rule>,
        turn: Option<usize>,
        rolls: &mut impl Rolls,
    ) -> Option<Injection> {
        let fault = &rule.fault;
        let delay = fault.delay.as_ref().filter(|delay| delay.chance.fires(rolls));
        let abort = match turn {
            Some(step) => fault.sequence.get(step).and_then(Option::as_ref),
            None => fault.abort.as_ref(),
        };
        let abort = abort.filter(|abort| abort.chance.fires(rolls));
        let request = fault.request.as_ref().is_some_and(|rewrite| rewrite.chance.fires(rolls));
        let response = fault.response.as_ref().is_some_and(|rewrite| rewrite.chance.fires(rolls));
        let reset = abort.is_some_and(|abort| abort.end == End::Reset);
        let kind = Kind::of([
            (Kind::REQUEST, request),
            (Kind::DELAY, delay.is_some()),
            (Kind::ABORT, abort.is_some() && !reset),
            (Kind::RESET, reset),
            (Kind::RESPONSE, response),
        ])?;
        let mut waits = Waits::default();
        let late = rule.matching.response.is_some();
        waits.add(late, fault.start_delay);
        if let Some(delay) = delay {
            // What is aborted has no response: it is held back before it is.
            let after = late || (delay.phase == Phase::Response && abort.is_none());
            waits.add(after, delay.time.draw(rolls));
        }
        let some = |wait: Duration| (!wait.is_zero()).then_some(wait);
        let (wait, response_wait) = (some(waits.request), some(waits.response));
        Some(Injection { at, rule: Rc::clone(rule), wait, response_wait, kind, turn })
    }

    /// What to answer, once the wait is over.
    #[must_use]
    pub fn abort(&self) -> Option<&Abort> {
        let fault = &self.rule.fault;
        match self.turn {
            _ if !self.kind.has(Kind::ABORT | Kind::RESET) => None,
            Some(step) => fault.sequence.get(step)?.as_ref(),
            None => fault.abort.as_ref(),
        }
    }

    /// What to change in the request, once the wait is over.
    #[must_use]
    pub fn request(&self) -> Option<&RequestRewrite> {
        self.rule.fault.request.as_ref().filter(|_| self.kind.has(Kind::REQUEST))
    }

    /// What to change in the response.
    #[must_use]
    pub fn response(&self) -> Option<&ResponseRewrite> {
        self.rule.fault.response.as_ref().filter(|_| self.kind.has(Kind::RESPONSE))
    }

    /// Which parts there are.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long it holds the request and its response back in all; zero when it does not.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.wait.unwrap_or_default().saturating_add(self.response_wait.unwrap_or_default())
    }
}

#[derive(Default)]
struct Waits {
    request: Duration,
    response: Duration,
}

impl Waits {
    fn add(&mut self, after: bool, wait: Duration) {
        let which = if after { &mut self.response } else { &mut self.request };
        *which = which.saturating_add(wait);
    }
}

/// Which parts of a fault are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(u8);

impl Kind {
    const REQUEST: u8 = 1;
    const DELAY: u8 = 2;
    const ABORT: u8 = 4;
    const RESET: u8 = 8;
    const RESPONSE: u8 = 16;
    /// As many kinds as there can be.
    pub const COUNT: usize = 32;

    /// Of the parts that are there; `None` when there is none.
    fn of(parts: [(u8, bool); 5]) -> Option<Kind> {
        let bits = parts.iter().filter(|(_, there)| *there).map(|(bit, _)| bit).sum();
        (bits != 0).then_some(Kind(bits))
    }

    fn has(self, some: u8) -> bool {
        self.0 & some != 0
    }

    /// Below [`Kind::COUNT`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// As in the names of metrics: `delay`, `abort`, `delay_abort`, `request_delay_response`.
    #[must_use]
    pub fn name(self) -> String {
        let parts = [
            (Kind::REQUEST, "request"),
            (Kind::DELAY, "delay"),
            (Kind::ABORT, "abort"),
            (Kind::RESET, "reset"),
            (Kind::RESPONSE, "response"),
        ];
        let names: Vec<&str> =
            parts.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name).collect();
        names.join("_")
    }
}
