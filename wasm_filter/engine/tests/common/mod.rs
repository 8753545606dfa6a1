//! What several tests need: a request that is described, counters that can be read, rolls that are given.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

pub mod yardsticks;

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use hfi_engine::chance::Rolls;
use hfi_engine::decide::{Desk, Observer, Skip, Verdict, decide, decide_response};
use hfi_engine::fault::abort::End;
use hfi_engine::injection::{Injection, Kind};
use hfi_engine::probe::Probes;
use hfi_engine::request::{RequestView, Text};
use hfi_engine::rule::Rule;
use hfi_engine::rules::Rules;
use hfi_engine::snapshot::Snapshot;
use hfi_engine::tallies::{Tallies, Tally};
use serde_json::{Value, json};

#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    /// Which questions reached the host.
    pub questions: RefCell<Vec<String>>,
}

impl Asked {
    pub fn get(path: &str) -> Asked {
        Asked { method: "GET".into(), path: path.into(), ..Asked::default() }
    }

    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Asked {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    pub fn from_json(request: &Value) -> Asked {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut asked =
            Asked { method: text(&request["method"]), path: text(&request["path"]), ..Asked::default() };
        for pair in request["headers"].as_array().unwrap() {
            asked = asked.with(&text(&pair[0]), text(&pair[1]));
        }
        asked
    }
}

impl RequestView for Asked {
    fn method(&self) -> Text<'_> {
        self.questions.borrow_mut().push(":method".into());
        self.method.as_bytes().into()
    }

    fn path(&self) -> Text<'_> {
        self.questions.borrow_mut().push(":path".into());
        self.path.as_bytes().into()
    }

    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.questions.borrow_mut().push(name.to_owned());
        match name {
            ":method" => test(self.method.as_bytes()),
            ":path" => test(self.path.as_bytes()),
            _ => self.headers.iter().filter(|(own, _)| own == name).any(|(_, value)| test(value)),
        }
    }
}

/// What was counted, as `what rule kind` or `what rule why`.
#[derive(Debug, Default)]
pub struct Counts(pub Vec<String>);

impl Observer for Counts {
    fn matched(&mut self, _at: usize, rule: &Rule) {
        self.0.push(format!("matched {}", rule.name));
    }

    fn skipped(&mut self, _at: usize, rule: &Rule, why: Skip) {
        self.0.push(format!("skipped {} {}", rule.name, why.as_str()));
    }

    fn injected(&mut self, _at: usize, rule: &Rule, kind: Kind) {
        self.0.push(format!("injected {} {}", rule.name, kind.name()));
    }

    fn shadowed(&mut self, _at: usize, rule: &Rule, kind: Kind) {
        self.0.push(format!("shadowed {} {}", rule.name, kind.name()));
    }
}

/// Rolls that are given in advance, and taken away one by one; a float is a millionth of one.
#[derive(Debug, Default)]
pub struct Given(pub Vec<u32>);

impl Rolls for Given {
    fn below_million(&mut self) -> u32 {
        self.0.remove(0)
    }

    fn uniform(&mut self) -> f64 {
        f64::from(self.0.remove(0)) / 1e6
    }
}

/// The counts of a proxy, and so many free places within limits.
#[derive(Debug, Default)]
pub struct Counted {
    pub counts: HashMap<String, u64>,
    pub places: usize,
    /// What was let in, by how long it holds.
    pub admitted: Vec<Duration>,
    /// Counts that do not get through.
    pub out_of_luck: bool,
}

impl Tallies for Counted {
    fn count(&mut self, rule: &Rule, tally: Tally) -> Option<u64> {
        let count = self.counts.entry(format!("{} {tally:?}", rule.name)).or_default();
        *count += 1;
        (!self.out_of_luck).then_some(*count - 1)
    }

    fn admit(&mut self, _rule: &Rule, hold: Duration) -> bool {
        self.places = match self.places.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        self.admitted.push(hold);
        true
    }
}

/// One proxy, with everything that a decision needs.
#[derive(Debug)]
pub struct Proxy<R = Given> {
    pub now_ms: u64,
    pub stale: bool,
    pub probes: Probes,
    pub rolls: R,
    pub tallies: Counted,
    pub counts: Counts,
}

impl Default for Proxy {
    fn default() -> Proxy {
        Proxy::with(Given::default())
    }
}

impl Proxy {
    pub fn rolling(rolls: &[u32]) -> Proxy {
        Proxy::with(Given(rolls.to_vec()))
    }
}

impl<R: Rolls> Proxy<R> {
    pub fn with(rolls: R) -> Proxy<R> {
        let (probes, tallies, counts) = Default::default();
        Proxy { now_ms: 0, stale: false, probes, rolls, tallies, counts }
    }

    pub fn desk(&mut self) -> Desk<'_, R, Counted, Counts> {
        Desk {
            now_ms: self.now_ms,
            stale: self.stale,
            probes: &self.probes,
            rolls: &mut self.rolls,
            tallies: &mut self.tallies,
            observer: &mut self.counts,
        }
    }

    pub fn decide(&mut self, rules: &impl Rules, asked: &Asked) -> Verdict {
        decide(rules, asked, &mut self.desk())
    }

    /// What is injected into a request that waits for no response.
    pub fn inject(&mut self, rules: &impl Rules, asked: &Asked) -> Option<Injection> {
        match self.decide(rules, asked) {
            Verdict::Pass => None,
            Verdict::Inject(injection) => Some(injection),
            Verdict::Await(rules) => panic!("{rules:?} look at the response"),
        }
    }

    /// The same for one that does, once its response is there.
    pub fn respond(&mut self, rules: &impl Rules, asked: &Asked, status: u16) -> Option<Injection> {
        match self.decide(rules, asked) {
            Verdict::Await(awaiting) => decide_response(rules, &awaiting, asked, status, &mut self.desk()),
            verdict => panic!("{verdict:?} looks at no response"),
        }
    }

    /// What was counted since it was last taken.
    pub fn counted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.counts.0)
    }
}

/// The status that is answered.
pub fn status(injection: Option<Injection>) -> Option<u16> {
    match injection?.abort()?.end {
        End::Http { status, .. } => Some(status),
        ref end => panic!("{end:?} is no HTTP status"),
    }
}

pub fn rule(name: &str, more: Value) -> Value {
    let mut rule = json!({"policy": "p", "name": name, "fault": {"abort": {"httpStatus": 503}}});
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

pub fn snapshot_json(rules: &Value) -> Vec<u8> {
    json!({"version": "7", "epoch": "e", "server_time_ms": 5, "rules": rules}).to_string().into_bytes()
}

pub fn snapshot(rules: Value) -> Snapshot {
    let parsed = Snapshot::parse(&snapshot_json(&rules)).unwrap();
    assert_eq!(parsed.left_out, []);
    parsed.snapshot
}
