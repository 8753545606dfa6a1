//! Whether a policy document is one that can be run: every problem at once.
//!
//! The same judgement as the control plane's own models, and one that only the engine can make: whether a
//! regular expression compiles, in the space that it may have. `tests/golden/policies` holds both to it.

use std::collections::HashSet;

use serde_json::Value;

use crate::fault;
use crate::matching;
use crate::names;
use crate::problem::{At, Problem};
use crate::reading::Reading;
use crate::rule::{exclude, limits, mode, seed};

const MAX_RULES: usize = 256;
const MAX_LABELS: usize = 64;
const MAX_CLUSTER: usize = 253;
/// What the compiled patterns of one policy may take together: 8 MiB is 1,500 of `[a-z0-9-]{1,63}`.
const REGEX_BUDGET: usize = 8 << 20;

/// Every problem of a policy document, of each place the first; none means that the engine runs it.
#[must_use]
pub fn check(document: &Value) -> Vec<Problem> {
    let mut reading = Reading::new(REGEX_BUDGET);
    // Readers say None of what they have reported; here only the reports matter.
    let _ = policy(document, &At::ROOT, &mut reading);
    let mut places = HashSet::new();
    reading.problems.retain(|problem| places.insert(problem.pointer.clone()));
    reading.problems
}

fn policy(document: &Value, at: &At, reading: &mut Reading) -> Option<()> {
    // `status` is the server's: what was read can be sent back as it is.
    let members = reading.object(document, at, &["apiVersion", "kind", "metadata", "spec", "status"])?;
    if let Some(value) = members.required("apiVersion", at, reading) {
        let good = matches!(value.as_str(), Some("v1" | "hfi.dev/v1"));
        reading.check(good, &at.key("apiVersion"), "must be v1 or hfi.dev/v1");
    }
    if let Some(value) = members.required("kind", at, reading) {
        let good = value.as_str() == Some("FaultInjectionPolicy");
        reading.check(good, &at.key("kind"), "must be FaultInjectionPolicy");
    }
    if let Some(value) = members.required("metadata", at, reading) {
        metadata(value, &at.key("metadata"), reading);
    }
    spec(members.required("spec", at, reading)?, &at.key("spec"), reading)
}

fn metadata(value: &Value, at: &At, reading: &mut Reading) -> Option<()> {
    let members = reading.object(value, at, &["name", "version", "labels", "annotations"])?;
    if let Some(value) = members.required("name", at, reading) {
        let at = at.key("name");
        let detail =
            "must be a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', at most 253 characters";
        let name = reading.text(value, &at);
        name.and_then(|name| reading.check(names::is_dns_subdomain(name), &at, detail));
    }
    if let Some(value) = members.optional("version") {
        let at = at.key("version");
        let digits =
            |text: &str| (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let version = reading.text(value, &at);
        let detail = "must be a version as the server wrote it: digits";
        version.and_then(|version| reading.check(digits(version), &at, detail));
    }
    if let Some(value) = members.defaulted("labels") {
        labels(value, &at.key("labels"), reading);
    }
    let value = members.defaulted("annotations")?;
    let at = &at.key("annotations");
    for (key, value) in few(value, at, reading)? {
        reading.text(value, &at.key(key));
    }
    Some(())
}

fn labels(value: &Value, at: &At, reading: &mut Reading) -> Option<()> {
    for (key, value) in few(value, at, reading)? {
        let at = at.key(key);
        let detail = "is not a label key; a key looks like track or example.com/track";
        reading.check(names::is_label_key(key), &at, detail);
        let detail = "must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, at most 63";
        let value = reading.text(value, &at);
        value.and_then(|value| reading.check(names::is_label_value(value), &at, detail));
    }
    Some(())
}

/// A map that is not too large to be labels or annotations.
fn few<'d>(value: &'d Value, at: &At, reading: &mut Reading) -> Option<&'d serde_json::Map<String, Value>> {
    let map = reading.map(value, at)?;
    if map.len() > MAX_LABELS {
        reading.problem(at, format!("has {} members, and {MAX_LABELS} are allowed", map.len()));
    }
    Some(map)
}

fn spec(value: &Value, at: &At, reading: &mut Reading) -> Option<()> {
    const KNOWN: [&str; 10] = [
        "priority",
        "enabled",
        "mode",
        "includeProbes",
        "mark",
        "seed",
        "selector",
        "exclude",
        "limits",
        "rules",
    ];
    let members = reading.object(value, at, &KNOWN)?;
    if let Some(value) = members.defaulted("priority") {
        reading.whole(value, &at.key("priority"), i64::from(i32::MIN)..=i64::from(i32::MAX));
    }
    for flag in ["enabled", "includeProbes", "mark"] {
        if let Some(value) = members.defaulted(flag) {
            reading.flag(value, &at.key(flag));
        }
    }
    if let Some(value) = members.defaulted("mode") {
        mode(value, &at.key("mode"), reading);
    }
    if let Some(value) = members.optional("seed") {
        seed(value, &at.key("seed"), reading);
    }
    if let Some(value) = members.defaulted("exclude") {
        exclude(value, &at.key("exclude"), reading);
    }
    if let Some(value) = members.optional("limits") {
        limits(value, &at.key("limits"), reading);
    }
    if let Some(value) = members.defaulted("selector") {
        selector(value, &at.key("selector"), reading);
    }
    rules(members.required("rules", at, reading)?, &at.key("rules"), reading)
}

fn selector(value: &Value, at: &At, reading: &mut Reading) -> Option<()> {
    let members = reading.object(value, at, &["cluster", "labels"])?;
    if let Some(value) = members.optional("cluster") {
        reading.text_of(value, &at.key("cluster"), 1..=MAX_CLUSTER);
    }
    labels(members.defaulted("labels")?, &at.key("labels"), reading)
}

fn rules(value: &Value, at: &At, reading: &mut Reading) -> Option<()> {
    let list = reading.list(value, at)?;
    if !(1..=MAX_RULES).contains(&list.len()) {
        reading.problem(at, format!("needs 1 to {MAX_RULES} rules, has {}", list.len()));
    }
    let mut names = HashSet::new();
    // The first of too many tell enough, and are not let take longer.
    for (index, value) in list.iter().take(MAX_RULES).enumerate() {
        let name = rule(value, &at.index(index), reading);
        if let Some(name) = name.filter(|name| !names.insert(*name)) {
            reading.problem(at, format!("two rules are named {name:?}; names are unique within a policy"));
        }
    }
    Some(())
}

fn rule<'d>(value: &'d Value, at: &At, reading: &mut Reading) -> Option<&'d str> {
    let members = reading.object(value, at, &["name", "match", "fault"])?;
    let name = members.required("name", at, reading).and_then(|value| {
        let at = at.key("name");
        let name = reading.text(value, &at)?;
        let detail =
            "must be letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, at most 63";
        reading.check(names::is_qualified_name(name), &at, detail).map(|()| name)
    });
    if let Some(value) = members.defaulted("match") {
        matching::read(value, &at.key("match"), reading);
    }
    let late = members.optional("match").is_some_and(matching::looks_at_response);
    if let Some(value) = members.required("fault", at, reading) {
        fault::read(value, &at.key("fault"), late, reading);
    }
    name
}
