//! Why a rule does what `explain` says, in a few words.

use std::ops::RangeInclusive;

use crate::explain::{Outcome, Step};
use crate::fault::Fault;
use crate::fault::abort::{Abort, End};
use crate::matching::Mismatch;
use crate::probe::ProbeKind;
use crate::rule::{Limits, Rule};

impl Step<'_> {
    /// Why, in a few words.
    #[must_use]
    pub fn reason(&self) -> String {
        let rule = self.rule;
        match self.outcome {
            Outcome::Expired => "its end has come".to_owned(),
            Outcome::NoMatch(mismatch) => part(mismatch),
            Outcome::OtherStatus => "response status".to_owned(),
            Outcome::Probe(ProbeKind::Kubelet) => "user-agent is kube-probe".to_owned(),
            Outcome::Probe(ProbeKind::GrpcHealth) => "gRPC health check".to_owned(),
            Outcome::Probe(ProbeKind::Path) => "path is listed as a probe".to_owned(),
            Outcome::AwaitsResponse => {
                let wanted = rule.matching.response.as_ref().map_or_else(String::new, range);
                format!("matches; asked when the response is there, if its status is {wanted}")
            }
            Outcome::Overtaken => "matches; another rule decides before the response is there".to_owned(),
            Outcome::Shadow => "matches; counted, never injected".to_owned(),
            Outcome::Misses => format!("matches; never fires for this value of {}", sticky(&rule.fault)),
            Outcome::MayDecide | Outcome::Decides => format!("matches; {}", self.firing()),
        }
    }

    /// How it fires.
    fn firing(&self) -> String {
        let Rule { fault, seed, limits, .. } = self.rule;
        let mut how = Vec::new();
        if self.by_value {
            how.push(format!("for this value of {}", sticky(fault)));
        } else if !fault.chance.is_certain() {
            how.push(if seed.is_some() { "by chance that its seed repeats" } else { "by chance" }.to_owned());
        }
        if !fault.sequence.is_empty() {
            how.push(format!("in turn: {}", fault.sequence.iter().map(turn).collect::<Vec<_>>().join(" ")));
        }
        match fault.times {
            Some(1) => how.push("the first time".to_owned()),
            Some(times) => how.push(format!("the first {times} times")),
            None => {}
        }
        if *limits != Limits::default() {
            how.push("within its policy's limits".to_owned());
        }
        if how.is_empty() { "always fires".to_owned() } else { format!("fires {}", how.join(", ")) }
    }
}

/// Which part of the match does not hold.
fn part(mismatch: Mismatch<'_>) -> String {
    match mismatch {
        Mismatch::Path => "path".to_owned(),
        Mismatch::Method => "method".to_owned(),
        Mismatch::Authority => "authority".to_owned(),
        Mismatch::Query(name) => format!("query parameter {name}"),
        Mismatch::Grpc => "gRPC call".to_owned(),
        Mismatch::Attempt => "attempt".to_owned(),
        Mismatch::AnyOf => "none of anyOf".to_owned(),
        Mismatch::Not => "what must not match does".to_owned(),
        Mismatch::Excluded => "excluded by the policy".to_owned(),
        Mismatch::Header(name) => format!("header {name}"),
    }
}

fn sticky(fault: &Fault) -> &str {
    fault.sticky.as_deref().unwrap_or_default()
}

fn range(wanted: &RangeInclusive<u16>) -> String {
    let (least, most) = wanted.clone().into_inner();
    match (least > 100, most < 599) {
        _ if least == most => least.to_string(),
        (true, true) => format!("{least} to {most}"),
        (true, false) => format!("at least {least}"),
        (false, _) => format!("at most {most}"),
    }
}

/// A step of a sequence, as in a document.
fn turn(step: &Option<Abort>) -> String {
    match step.as_ref().map(|abort| &abort.end) {
        None => "pass".to_owned(),
        Some(End::Http { status, .. }) => status.to_string(),
        Some(End::Grpc { status, .. }) => format!("grpc {status}"),
        Some(End::Reset) => "reset".to_owned(),
    }
}
