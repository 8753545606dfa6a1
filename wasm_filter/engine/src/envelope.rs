//! One rule as a snapshot carries it: what its policy says beside its own `match` and `fault`.

use serde_json::Value;

use crate::fault;
use crate::matching;
use crate::problem::At;
use crate::reading::{Reading, or_default};
use crate::rule::{Limits, Mode, Rule, exclude, limits, mode, seed};

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

/// What it compiled is taken from `budget` even when the rule is left out: the time was spent.
pub(crate) fn compile(source: &str, budget: &mut usize) -> Result<Rule, LeftOut> {
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
    let mark = or_default(members.defaulted("mark"), true, |value| reading.flag(value, &at.key("mark")));
    let seed =
        or_default(members.optional("seed"), None, |value| seed(value, &at.key("seed"), reading).map(Some));
    let limits = or_default(members.optional("limits"), Limits::default(), |value| {
        limits(value, &at.key("limits"), reading)
    });
    let moment = |key: &'static str, reading: &mut Reading| {
        or_default(members.optional(key), None, |value| {
            reading.whole(value, &at.key(key), 0..=i64::MAX).map(|moment| Some(moment.unsigned_abs()))
        })
    };
    let (applied_at_ms, ends_at_ms) = (moment("applied_at_ms", reading), moment("ends_at_ms", reading));
    let matching = or_default(members.defaulted("match"), matching::Match::default(), |value| {
        matching::read(value, &at.key("match"), reading)
    });
    let exclude = or_default(members.defaulted("exclude"), Vec::new(), |value| {
        exclude(value, &at.key("exclude"), reading)
    });
    let late = members.optional("match").is_some_and(matching::looks_at_response);
    let fault = members
        .required("fault", at, reading)
        .and_then(|value| fault::read(value, &at.key("fault"), late, reading));
    Some(Rule {
        policy: policy?,
        name: rule_name?,
        mode: mode?,
        include_probes: include_probes?,
        mark: mark?,
        seed: seed?,
        limits: limits?,
        applied_at_ms: applied_at_ms?.unwrap_or(0),
        ends_at_ms: ends_at_ms?,
        matching: matching?,
        exclude: exclude?,
        fault: fault?,
        source: source.into(),
    })
}
