//! Which rule would decide a request, and with what chance: `decide` without rolling and without counting.

use crate::fate::Fate;
use crate::fault::Fault;
use crate::matching::Mismatch;
use crate::probe::{ProbeKind, Probes};
use crate::request::{Request, RequestView};
use crate::rule::{Limits, Mode, Rule};
use crate::snapshot::Snapshot;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub struct Explanation<'s> {
    /// The rule that is sure to decide unless one of the steps before it does: the first enforced rule that
    /// matches and always fires; of those that look at the response only when there is no other. `None` when there
    /// is no such rule.
    pub decision: Option<&'s Rule>,
    /// Every rule that is asked, in the snapshot's order.
    pub steps: Vec<Step<'s>>,
    /// The chance that no rule decides, from 0 to 1. What is not known of the response is left out of it.
    pub none_probability: f64,
}

/// What becomes of one rule.
#[derive(Debug, Clone)]
pub struct Step<'s> {
    /// The rule.
    pub rule: &'s Rule,
    /// What becomes of it.
    pub outcome: Outcome<'s>,
    /// The chance that this rule decides this request, from 0 to 1, while its `times` and its policy's limits leave
    /// room; on the average over a sequence.
    pub probability: f64,
    /// The value of its sticky header decides, and not chance.
    pub(crate) by_value: bool,
}

/// What becomes of one rule for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'s> {
    /// Its end has come.
    Expired,
    /// A part of its match does not hold.
    NoMatch(Mismatch<'s>),
    /// The response's status is not one that it is for.
    OtherStatus,
    /// It matches, but the request is a probe.
    Probe(ProbeKind),
    /// It matches as far as the request goes, and of the response nothing is known.
    AwaitsResponse,
    /// It matches as far as the request goes, and another rule decides before there is a response.
    Overtaken,
    /// It matches, in shadow mode.
    Shadow,
    /// It matches, and never fires for this value of its sticky header.
    Misses,
    /// It matches, and may fire: it rolls, or counts.
    MayDecide,
    /// It matches, and always fires.
    Decides,
}

impl Outcome<'_> {
    /// As in the answer of `explain`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Expired => "expired",
            Outcome::NoMatch(_) | Outcome::OtherStatus => "no_match",
            Outcome::Probe(_) => "probe",
            Outcome::AwaitsResponse | Outcome::Overtaken => "awaits_response",
            Outcome::Shadow => "shadow",
            Outcome::Misses => "misses",
            Outcome::MayDecide => "may_decide",
            Outcome::Decides => "decides",
        }
    }

    /// Whether the rule is asked for a roll.
    fn is_asked(self) -> bool {
        matches!(self, Outcome::Shadow | Outcome::Misses | Outcome::MayDecide | Outcome::Decides)
    }
}

/// Says what `decide` would do, with the same reading of rules and requests. `status` is what the upstream answers,
/// where that is known.
pub fn explain<'s, V: RequestView>(
    snapshot: &'s Snapshot,
    view: &V,
    status: Option<u16>,
    now_ms: u64,
    probes: &Probes,
) -> Explanation<'s> {
    let request = &Request::new(view);
    let probe = probes.kind(request);
    let case = Case { request, status, now_ms, probe };
    let mut found = Explanation { decision: None, steps: Vec::new(), none_probability: 1.0 };
    let mut late = Vec::new();
    for rule in &snapshot.rules {
        let mut step = case.step(rule);
        if rule.matching.response.is_some() && step.outcome.is_asked() {
            late.push((found.steps.len(), step.probability));
            step.probability = 0.0;
        } else {
            found.take(&mut step);
        }
        found.steps.push(step);
        if found.decision.is_some() {
            found.overtake();
            return found;
        }
    }
    found.ask_late(&late);
    found
}

impl<'s> Explanation<'s> {
    /// From the chance that a rule fires to the chance that it decides, after those before it.
    fn take(&mut self, step: &mut Step<'s>) {
        step.probability *= self.none_probability;
        self.none_probability -= step.probability;
        if step.outcome == Outcome::Decides {
            self.decision = Some(step.rule);
            self.none_probability = 0.0;
        }
    }

    /// A rule decides on the request: those that look at the response are never asked.
    fn overtake(&mut self) {
        for step in &mut self.steps {
            let late = step.rule.matching.response.is_some();
            if late && (step.outcome.is_asked() || step.outcome == Outcome::AwaitsResponse) {
                step.outcome = Outcome::Overtaken;
            }
        }
    }

    /// Asks the rules at these steps, which look at the response.
    fn ask_late(&mut self, late: &[(usize, f64)]) {
        let mut never_asked = Vec::new();
        for &(at, fires) in late {
            if self.decision.is_some() {
                never_asked.push(at);
            } else if let Some(mut step) = self.steps.get(at).cloned() {
                step.probability = fires;
                self.take(&mut step);
                self.steps.splice(at..=at, [step]);
            }
        }
        for at in never_asked.into_iter().rev() {
            self.steps.remove(at);
        }
    }
}

/// What a request is known by.
struct Case<'r, 'v, V> {
    request: &'r Request<'v, V>,
    status: Option<u16>,
    now_ms: u64,
    probe: Option<ProbeKind>,
}

impl<V: RequestView> Case<'_, '_, V> {
    /// The rule by itself, as if it were the only one.
    fn step<'s>(&self, rule: &'s Rule) -> Step<'s> {
        let by_value = self.sticky_hit(rule);
        let outcome = self.mismatch(rule).unwrap_or(match (by_value, rule.mode) {
            (Some(false), _) => Outcome::Misses,
            (_, Mode::Shadow) => Outcome::Shadow,
            _ if may_pass(rule) || !(by_value.is_some() || rule.fault.chance.is_certain()) => {
                Outcome::MayDecide
            }
            _ => Outcome::Decides,
        });
        let probability = match outcome {
            Outcome::MayDecide | Outcome::Decides if by_value.is_some() => turns(&rule.fault),
            Outcome::MayDecide | Outcome::Decides => rule.fault.chance.probability() * turns(&rule.fault),
            _ => 0.0,
        };
        Step { rule, outcome, probability, by_value: by_value.is_some() }
    }

    /// Why it is not asked for a roll.
    fn mismatch<'s>(&self, rule: &'s Rule) -> Option<Outcome<'s>> {
        if rule.ended(self.now_ms) {
            return Some(Outcome::Expired);
        }
        if let Some(mismatch) = rule.mismatch(self.request) {
            return Some(Outcome::NoMatch(mismatch));
        }
        if let Some(kind) = self.probe.filter(|_| !rule.include_probes) {
            return Some(Outcome::Probe(kind));
        }
        match (rule.matching.response.as_ref()?, self.status) {
            (_, None) => Some(Outcome::AwaitsResponse),
            (wanted, Some(status)) => (!wanted.contains(&status)).then_some(Outcome::OtherStatus),
        }
    }

    /// Whether it fires for the value of its sticky header; `None` when it rolls, or need not.
    fn sticky_hit(&self, rule: &Rule) -> Option<bool> {
        let header = rule.fault.sticky.as_ref().filter(|_| rule.fault.chance.is_open())?;
        let value = self.request.first_value(header)?;
        Some(rule.fault.chance.covers(Fate::of_value(rule, &value).roll()))
    }
}

/// Whether it may pass a request over that its roll hits.
fn may_pass(rule: &Rule) -> bool {
    let fault = &rule.fault;
    let limited = rule.limits != Limits::default();
    limited || fault.times.is_some() || fault.sequence.iter().any(Option::is_none)
}

/// The share of its turns that do something.
fn turns(fault: &Fault) -> f64 {
    let steps = fault.sequence.len();
    let passes = fault.sequence.iter().filter(|step| step.is_none()).count();
    if steps == 0 { 1.0 } else { (steps - passes) as f64 / steps as f64 }
}
