//! What several tests need: a request that is described, counters that can be read, rolls that are given.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::cell::RefCell;

use hfi_engine::chance::Rolls;
use hfi_engine::decide::{Kind, Observer};
use hfi_engine::request::{RequestView, Text};
use hfi_engine::rule::Rule;
use hfi_engine::snapshot::Snapshot;
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

    fn header(&self, name: &str) -> Vec<Text<'_>> {
        self.questions.borrow_mut().push(name.to_owned());
        match name {
            ":method" => vec![self.method.as_bytes().into()],
            ":path" => vec![self.path.as_bytes().into()],
            _ => self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.into()).collect(),
        }
    }
}

/// What was counted, as `what rule kind`.
#[derive(Debug, Default)]
pub struct Counts(pub Vec<String>);

impl Observer for Counts {
    fn matched(&mut self, _at: usize, rule: &Rule) {
        self.0.push(format!("matched {}", rule.name));
    }

    fn injected(&mut self, _at: usize, rule: &Rule, kind: Kind) {
        self.0.push(format!("injected {} {}", rule.name, kind.as_str()));
    }

    fn shadowed(&mut self, _at: usize, rule: &Rule, kind: Kind) {
        self.0.push(format!("shadowed {} {}", rule.name, kind.as_str()));
    }
}

/// Rolls that are given in advance; it counts those that were taken.
pub struct Given(pub Vec<u32>);

impl Rolls for Given {
    fn below_million(&mut self) -> u32 {
        self.0.remove(0)
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
