//! What happens to one request (design, section 3, decisions 3, 4, 5 and 8).
//!
//! 1. Rules are asked in the snapshot's order. The first enforced rule that matches and fires decides.
//! 2. A rule whose end has come does not exist any more.
//! 3. A rule that matches a probe is passed over, and not counted, unless it includes probes.
//! 4. A rule that matches is counted; then it rolls, once. A miss sends the search on.
//! 5. A part with a percentage of its own rolls once more. When every part misses, the rule has decided all the
//!    same, and nothing is injected.
//! 6. A shadow rule does all of this, but what it would inject is only counted, and the search goes on.

use std::time::Duration;

use crate::chance::Rolls;
use crate::fault::{Abort, Fault};
use crate::probe::Probes;
use crate::request::{Request, RequestView};
use crate::rule::{Mode, Rule};
use crate::snapshot::Snapshot;

/// What to do with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<'s> {
    /// Let it go on untouched.
    Pass,
    /// Inject a fault: wait, then abort when there is an abort, or else let it go on.
    Inject {
        /// The deciding rule's index in the snapshot.
        rule: usize,
        /// How long to wait in all, start delay included; `None` not to wait at all.
        delay: Option<Duration>,
        /// What to answer, once the wait is over.
        abort: Option<&'s Abort>,
    },
}

/// Which parts of a fault were rolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The delay alone.
    Delay,
    /// The abort alone.
    Abort,
    /// Both.
    DelayAbort,
}

impl Kind {
    /// As in the names of metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Delay => "delay",
            Kind::Abort => "abort",
            Kind::DelayAbort => "delay_abort",
        }
    }
}

/// Who counts. `at` is the rule's index in the snapshot.
pub trait Observer {
    /// The rule matched, whether it fires or not.
    fn matched(&mut self, at: usize, rule: &Rule);
    /// The rule decided, and its fault is injected.
    fn injected(&mut self, at: usize, rule: &Rule, kind: Kind);
    /// The rule fired in shadow mode: this would have been injected.
    fn shadowed(&mut self, at: usize, rule: &Rule, kind: Kind);
}

/// What happens to the request. `now_ms` is Unix time by the server's clock.
pub fn decide<'s, V: RequestView>(
    snapshot: &'s Snapshot,
    view: &V,
    now_ms: u64,
    probes: &Probes,
    rolls: &mut impl Rolls,
    observer: &mut impl Observer,
) -> Verdict<'s> {
    let request = &mut Request::new(view);
    let mut is_probe = None;
    for (at, rule) in snapshot.rules.iter().enumerate() {
        if rule.ended(now_ms) || rule.matching.mismatch(request).is_some() {
            continue;
        }
        // Asked last, and once: few requests match anything, and it costs a look at user-agent.
        if !rule.include_probes && *is_probe.get_or_insert_with(|| probes.kind(request).is_some()) {
            continue;
        }
        observer.matched(at, rule);
        if !rule.fault.chance.fires(rolls) {
            continue;
        }
        let parts = Parts::roll(&rule.fault, rolls);
        match (rule.mode, parts.kind()) {
            (Mode::Shadow, Some(kind)) => observer.shadowed(at, rule, kind),
            (Mode::Shadow, None) => {}
            (Mode::Enforce, Some(kind)) => {
                observer.injected(at, rule, kind);
                return Verdict::Inject { rule: at, delay: parts.wait(&rule.fault), abort: parts.abort };
            }
            (Mode::Enforce, None) => return Verdict::Pass,
        }
    }
    Verdict::Pass
}

struct Parts<'s> {
    delay: Option<Duration>,
    abort: Option<&'s Abort>,
}

impl<'s> Parts<'s> {
    fn roll(fault: &'s Fault, rolls: &mut impl Rolls) -> Parts<'s> {
        let delay = fault.delay.as_ref().filter(|delay| delay.chance.fires(rolls)).map(|delay| delay.fixed);
        let abort = fault.abort.as_ref().filter(|abort| abort.chance.fires(rolls));
        Parts { delay, abort }
    }

    fn kind(&self) -> Option<Kind> {
        match (self.delay, self.abort) {
            (Some(_), Some(_)) => Some(Kind::DelayAbort),
            (Some(_), None) => Some(Kind::Delay),
            (None, Some(_)) => Some(Kind::Abort),
            (None, None) => None,
        }
    }

    fn wait(&self, fault: &Fault) -> Option<Duration> {
        let wait = fault.start_delay.saturating_add(self.delay.unwrap_or_default());
        (!wait.is_zero()).then_some(wait)
    }
}
