//! The engine's two questions as JSON in and JSON out, for callers in other languages.
//!
//! `check`: a policy document in; out comes a list of `{"pointer", "detail"}`, empty when the document is good.
//!
//! `explain`: `{"snapshot", "now_ms", "request": {"method", "path", "headers": [[name, value], …]}}` in, and
//! `probe_paths` when the filter has some. `request` may say with which `status` the upstream answers; without it,
//! rules that look at the response are left open. Out come `decision` (`{"policy", "rule"}` or null), `steps`,
//! `none_probability`, and `left_out`: the rules that no proxy could run either. A question that cannot be read
//! is answered by `{"error"}`.

use serde_json::{Value, json};

use crate::explain::{Step, explain};
use crate::policy;
use crate::probe::Probes;
use crate::problem::{At, Problem};
use crate::reading::{Reading, or_default};
use crate::request::{RequestView, Text};
use crate::rule::Rule;
use crate::snapshot::Snapshot;

/// Answers `check`.
#[must_use]
pub fn check_json(document: &[u8]) -> Vec<u8> {
    let problems = match serde_json::from_slice(document) {
        Ok(document) => policy::check(&document),
        Err(error) => vec![Problem { pointer: String::new(), detail: format!("is not JSON: {error}") }],
    };
    let answer: Vec<Value> = problems
        .into_iter()
        .map(|problem| json!({"pointer": problem.pointer, "detail": problem.detail}))
        .collect();
    Value::from(answer).to_string().into_bytes()
}

/// Answers `explain`.
#[must_use]
pub fn explain_json(question: &[u8]) -> Vec<u8> {
    let answer = Question::read(question).and_then(|question| question.answer());
    answer.unwrap_or_else(|error| json!({ "error": error })).to_string().into_bytes()
}

struct Question {
    snapshot: Value,
    now_ms: u64,
    request: StatedRequest,
    probes: Probes,
}

/// A request that somebody describes, and the status of its response, if that is known. Repeated headers are
/// repeated pairs.
struct StatedRequest {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    status: Option<u16>,
}

impl RequestView for StatedRequest {
    fn method(&self) -> Text<'_> {
        self.method.as_bytes().into()
    }

    fn path(&self) -> Text<'_> {
        self.path.as_bytes().into()
    }

    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut stated =
            self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name)).peekable();
        match name {
            // In a proxy these are headers too.
            ":method" if stated.peek().is_none() => test(self.method.as_bytes()),
            ":path" if stated.peek().is_none() => test(self.path.as_bytes()),
            _ => stated.any(|(_, value)| test(value.as_bytes())),
        }
    }
}

impl Question {
    fn read(question: &[u8]) -> Result<Question, String> {
        let mut question: Value =
            serde_json::from_slice(question).map_err(|error| format!("is not JSON: {error}"))?;
        let snapshot = question.get_mut("snapshot").map(Value::take).unwrap_or_default();
        let mut reading = Reading::new(0);
        let read = Question::members(&question, snapshot, &mut reading);
        read.ok_or_else(|| reading.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    fn members(question: &Value, snapshot: Value, reading: &mut Reading) -> Option<Question> {
        let at = &At::ROOT;
        let members = reading.envelope(question, at)?;
        let now_ms = members.required("now_ms", at, reading)?;
        let now_ms = reading.whole(now_ms, &at.key("now_ms"), 0..=i64::MAX)?.unsigned_abs();
        let request = members.required("request", at, reading)?;
        let request = StatedRequest::read(request, &at.key("request"), reading)?;
        let at = at.key("probe_paths");
        let paths = members.optional("probe_paths").map(|value| texts(value, &at, reading));
        let probes = Probes::new(paths.unwrap_or(Some(Vec::new()))?);
        Some(Question { snapshot, now_ms, request, probes })
    }

    fn answer(&self) -> Result<Value, String> {
        let parsed =
            Snapshot::parse(self.snapshot.to_string().as_bytes()).map_err(|error| error.to_string())?;
        let explained =
            explain(&parsed.snapshot, &self.request, self.request.status, self.now_ms, &self.probes);
        let left_out = parsed.left_out.iter();
        Ok(json!({
            "decision": explained.decision.map(named),
            "steps": explained.steps.iter().map(step).collect::<Vec<_>>(),
            "none_probability": explained.none_probability,
            "left_out": left_out
                .map(|rule| json!({"policy": rule.policy, "rule": rule.rule, "problem": rule.problem}))
                .collect::<Vec<_>>(),
        }))
    }
}

impl StatedRequest {
    fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<StatedRequest> {
        let members = reading.envelope(value, at)?;
        let method = members.required("method", at, reading)?;
        let method = reading.text(method, &at.key("method"))?.to_owned();
        let path = members.required("path", at, reading)?;
        let path = reading.text(path, &at.key("path"))?.to_owned();
        let status = or_default(members.optional("status"), None, |value| {
            let status = reading.whole(value, &at.key("status"), 100..=599)?;
            u16::try_from(status).ok().map(Some)
        })?;
        let at = &at.key("headers");
        let mut headers = Vec::new();
        let pairs = members.optional("headers").map(|value| reading.list(value, at));
        for (index, pair) in pairs.unwrap_or(Some(&[]))?.iter().enumerate() {
            let at = at.index(index);
            let [name, value] = <[String; 2]>::try_from(texts(pair, &at, reading)?)
                .map_err(|_| reading.problem(&at, "must be a name and a value"))
                .ok()?;
            headers.push((name, value));
        }
        Some(StatedRequest { method, path, headers, status })
    }
}

fn texts(value: &Value, at: &At, reading: &mut Reading) -> Option<Vec<String>> {
    let list = reading.list(value, at)?.iter().enumerate();
    list.map(|(index, value)| reading.text(value, &at.index(index)).map(str::to_owned)).collect()
}

fn named(rule: &Rule) -> Value {
    json!({"policy": rule.policy, "rule": rule.name})
}

fn step(step: &Step<'_>) -> Value {
    json!({
        "policy": step.rule.policy,
        "rule": step.rule.name,
        "mode": step.rule.mode.as_str(),
        "outcome": step.outcome.as_str(),
        "reason": step.reason(),
        "percentage": step.rule.fault.chance.percentage(),
        "probability": step.probability,
    })
}
