//! What the control plane sends: every rule of this proxy, in the total order.
//!
//! Strict where a mistake would change what a rule means, lenient where an older filter meets a newer control
//! plane: unknown members of the snapshot and of a rule's envelope are ignored, and a rule that cannot be
//! compiled is left out and named while the others work.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault;
use crate::matching;
use crate::problem::At;
use crate::reading::{Reading, or_default};
use crate::rule::{Mode, Rule, mode};

/// What the compiled patterns of one snapshot may take together. A worker's VM is worth more than a rule.
const REGEX_BUDGET: usize = 64 << 20;

/// The rules at one version of the store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The store's revision. Versions compare only within one epoch.
    pub version: u64,
    /// Changes when the store is another.
    pub epoch: String,
    /// Unix milliseconds of the server when it sent this.
    pub server_time_ms: u64,
    /// In the total order. Shared with the snapshot before, where a rule did not change.
    pub rules: Vec<Rc<Rule>>,
}

/// A snapshot, and what is missing in it.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// What can be run.
    pub snapshot: Snapshot,
    /// What cannot.
    pub left_out: Vec<LeftOut>,
}

/// A rule that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its policy's name, as far as it can be read.
    pub policy: String,
    /// Its name, as far as it can be read.
    pub rule: String,
    /// Why.
    pub problem: String,
}

/// Why a whole snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// It is no JSON object.
    Unreadable(String),
    /// A member that has to be there is missing, or is not what it should be.
    Member(&'static str, &'static str),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Unreadable(why) => write!(out, "not a snapshot: {why}"),
            SnapshotError::Member(name, expected) => write!(out, "a snapshot's {name} must be {expected}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl Snapshot {
    /// Compiles a snapshot, which is the data of an `update` event.
    ///
    /// # Errors
    ///
    /// When it is not a snapshot at all; then the one before goes on. A bad rule is no error.
    pub fn parse(data: &[u8]) -> Result<Parsed, SnapshotError> {
        Snapshot::default().next(data)
    }

    /// The same, taking over what did not change since this snapshot instead of compiling it anew.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::parse`].
    pub fn next(&self, data: &[u8]) -> Result<Parsed, SnapshotError> {
        let unreadable = |error: serde_json::Error| SnapshotError::Unreadable(error.to_string());
        let members: BTreeMap<String, &RawValue> = serde_json::from_slice(data).map_err(unreadable)?;
        let version = member::<String>(&members, "version", "a string of digits")?
            .parse()
            .map_err(|_| SnapshotError::Member("version", "a string of digits"))?;
        let epoch = member(&members, "epoch", "a string")?;
        let server_time_ms = member(&members, "server_time_ms", "Unix time in milliseconds")?;
        let sources: Vec<&RawValue> = member(&members, "rules", "a list")?;

        let known: HashMap<&str, &Rc<Rule>> = self.rules.iter().map(|rule| (&*rule.source, rule)).collect();
        let mut parsed = Parsed::default();
        let mut budget = REGEX_BUDGET;
        for source in sources.iter().map(|source| source.get()) {
            let compiled = match known.get(source) {
                Some(rule) if rule.memory() <= budget => {
                    budget -= rule.memory();
                    Ok(Rc::clone(rule))
                }
                _ => compile(source, &mut budget).map(Rc::new),
            };
            match compiled {
                Ok(rule) => parsed.snapshot.rules.push(rule),
                Err(left_out) => parsed.left_out.push(left_out),
            }
        }
        let rules = parsed.snapshot.rules;
        parsed.snapshot = Snapshot { version, epoch, server_time_ms, rules };
        Ok(parsed)
    }
}

fn member<'d, T: serde::Deserialize<'d>>(
    members: &BTreeMap<String, &'d RawValue>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, SnapshotError> {
    let raw = members.get(name).ok_or(SnapshotError::Member(name, expected))?;
    serde_json::from_str(raw.get()).map_err(|_| SnapshotError::Member(name, expected))
}

/// What it compiled is taken from `budget` even when the rule is left out: the time was spent.
fn compile(source: &str, budget: &mut usize) -> Result<Rule, LeftOut> {
    let mut reading = Reading::new(*budget);
    let value: Value = serde_json::from_str(source).unwrap_or_default();
    let rule = rule(&value, source, &mut reading);
    *budget = reading.regex_budget;
    rule.ok_or_else(|| {
        let name = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let problems: Vec<String> = reading.problems.iter().map(ToString::to_string).collect();
        LeftOut { policy: name("policy"), rule: name("name"), problem: problems.join("; ") }
    })
}

fn rule(value: &Value, source: &str, reading: &mut Reading) -> Option<Rule> {
    let at = &At::ROOT;
    let members = &reading.envelope(value, at)?;
    let name = |key: &'static str, reading: &mut Reading| -> Option<Box<str>> {
        let value = members.required(key, at, reading)?;
        reading.text_of(value, &at.key(key), 1..=253).map(Into::into)
    };
    let policy = name("policy", reading);
    let rule_name = name("name", reading);
    let mode =
        or_default(members.defaulted("mode"), Mode::Enforce, |value| mode(value, &at.key("mode"), reading));
    let include_probes = or_default(members.defaulted("includeProbes"), false, |value| {
        reading.flag(value, &at.key("includeProbes"))
    });
    let ends_at_ms = or_default(members.optional("ends_at_ms"), None, |value| {
        reading.whole(value, &at.key("ends_at_ms"), 0..=i64::MAX).map(|end| u64::try_from(end).ok())
    });
    let matching = or_default(members.defaulted("match"), matching::Match::default(), |value| {
        matching::read(value, &at.key("match"), reading)
    });
    let fault = members
        .required("fault", at, reading)
        .and_then(|value| fault::read(value, &at.key("fault"), reading));
    Some(Rule {
        policy: policy?,
        name: rule_name?,
        mode: mode?,
        include_probes: include_probes?,
        ends_at_ms: ends_at_ms?,
        matching: matching?,
        fault: fault?,
        source: source.into(),
    })
}
