//! Which rule would decide a request, and with what chance: `decide` without rolling.

use crate::matching::Mismatch;
use crate::probe::{ProbeKind, Probes};
use crate::request::{Request, RequestView};
use crate::rule::{Mode, Rule};
use crate::snapshot::Snapshot;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub struct Explanation<'s> {
    /// The rule that is sure to decide unless one of the steps before it does: the first enforced rule that
    /// matches and always fires. `None` when there is no such rule.
    pub decision: Option<&'s Rule>,
    /// Every rule up to and including that one, in order.
    pub steps: Vec<Step<'s>>,
    /// The chance that no rule decides, from 0 to 1.
    pub none_probability: f64,
}

/// What becomes of one rule.
#[derive(Debug, Clone)]
pub struct Step<'s> {
    /// The rule.
    pub rule: &'s Rule,
    /// What becomes of it.
    pub outcome: Outcome<'s>,
    /// The chance that this rule decides this request, from 0 to 1.
    pub probability: f64,
}

/// What becomes of one rule for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'s> {
    /// Its end has come.
    Expired,
    /// A part of its match does not hold.
    NoMatch(Mismatch<'s>),
    /// It matches, but the request is a probe.
    Probe(ProbeKind),
    /// It matches, in shadow mode.
    Shadow,
    /// It matches, and rolls.
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
            Outcome::NoMatch(_) => "no_match",
            Outcome::Probe(_) => "probe",
            Outcome::Shadow => "shadow",
            Outcome::MayDecide => "may_decide",
            Outcome::Decides => "decides",
        }
    }

    /// Why, in a few words.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Outcome::Expired => "its end has come".to_owned(),
            Outcome::NoMatch(Mismatch::Path) => "path".to_owned(),
            Outcome::NoMatch(Mismatch::Method) => "method".to_owned(),
            Outcome::NoMatch(Mismatch::Header(name)) => format!("header {name}"),
            Outcome::Probe(ProbeKind::Kubelet) => "user-agent is kube-probe".to_owned(),
            Outcome::Probe(ProbeKind::GrpcHealth) => "gRPC health check".to_owned(),
            Outcome::Probe(ProbeKind::Path) => "path is listed as a probe".to_owned(),
            Outcome::Shadow => "matches; counted, never injected".to_owned(),
            Outcome::MayDecide => "matches; fires by chance".to_owned(),
            Outcome::Decides => "matches; always fires".to_owned(),
        }
    }
}

/// Says what `decide` would do, with the same reading of rules and requests.
pub fn explain<'s, V: RequestView>(
    snapshot: &'s Snapshot,
    view: &V,
    now_ms: u64,
    probes: &Probes,
) -> Explanation<'s> {
    let request = &mut Request::new(view);
    let probe = probes.kind(request);
    let mut steps = Vec::new();
    let mut undecided = 1.0;
    for rule in &snapshot.rules {
        let outcome = outcome(rule, request, now_ms, probe);
        let probability = match outcome {
            Outcome::Decides | Outcome::MayDecide => undecided * rule.fault.chance.probability(),
            _ => 0.0,
        };
        undecided -= probability;
        steps.push(Step { rule, outcome, probability });
        if outcome == Outcome::Decides {
            return Explanation { decision: Some(rule), steps, none_probability: 0.0 };
        }
    }
    Explanation { decision: None, steps, none_probability: undecided }
}

fn outcome<'s: 'v, 'v, V: RequestView>(
    rule: &'s Rule,
    request: &mut Request<'v, V>,
    now_ms: u64,
    probe: Option<ProbeKind>,
) -> Outcome<'s> {
    if rule.ended(now_ms) {
        return Outcome::Expired;
    }
    if let Some(mismatch) = rule.matching.mismatch(request) {
        return Outcome::NoMatch(mismatch);
    }
    if let Some(kind) = probe.filter(|_| !rule.include_probes) {
        return Outcome::Probe(kind);
    }
    match rule.mode {
        Mode::Shadow => Outcome::Shadow,
        Mode::Enforce if rule.fault.chance.is_certain() => Outcome::Decides,
        Mode::Enforce => Outcome::MayDecide,
    }
}
