//! The golden matching cases: explain and decide, and the JSON question, say the same of each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Asked, Proxy};
use hfi_engine::chance::SeededRolls;
use hfi_engine::decide::{Verdict, decide_response};
use hfi_engine::explain::{Step, explain};
use hfi_engine::probe::Probes;
use hfi_engine::questions::explain_json;
use hfi_engine::snapshot::Snapshot;
use serde_json::{Value, json};

#[test]
fn every_case_is_decided_as_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/matching");
    let mut cases = 0;
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        let golden: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            cases += 1;
            decided_as_written(case, &file.display().to_string());
        }
    }
    assert!(cases > 50, "only {cases} cases were found");
}

fn decided_as_written(case: &Value, name: &str) {
    let snapshot = Snapshot::parse(case["snapshot"].to_string().as_bytes()).unwrap().snapshot;
    let now_ms = case["now_ms"].as_u64().unwrap_or(0);
    let probes = Probes::default();
    let asked = Asked::from_json(&case["request"]);

    let status = case["request"]["status"].as_u64().map(|status| status.try_into().unwrap());
    let explained = explain(&snapshot, &asked, status, now_ms, &probes);
    let decision = explained.decision.map(|rule| json!({"policy": rule.policy, "rule": rule.name}));
    assert_eq!(json!(decision), case["decision"], "{name}: {case}");
    let outcomes: Vec<_> = explained.steps.iter().map(|step| step.outcome.as_str()).collect();
    if let Some(wanted) = case.get("outcomes") {
        assert_eq!(&json!(outcomes), wanted, "{name}: {case}");
    }
    if let Some(wanted) = case.get("reasons") {
        let reasons: Vec<_> = explained.steps.iter().map(Step::reason).collect();
        assert_eq!(&json!(reasons), wanted, "{name}: {case}");
    }

    let question = json!({"snapshot": case["snapshot"], "now_ms": now_ms, "request": case["request"]});
    let answer: Value = serde_json::from_slice(&explain_json(question.to_string().as_bytes())).unwrap();
    assert_eq!(answer["decision"], case["decision"], "{name}: {case}");

    // When no rule rolls, deciding must come to what was explained.
    if outcomes.contains(&"may_decide") {
        return;
    }
    let mut proxy = Proxy { now_ms, ..Proxy::with(SeededRolls::new(1)) };
    let decided = match (proxy.decide(&snapshot, &asked), status) {
        (Verdict::Inject(injection), _) => Some(injection),
        (Verdict::Await(awaiting), Some(status)) => {
            decide_response(&snapshot, &awaiting, &asked, status, &mut proxy.desk())
        }
        (Verdict::Pass | Verdict::Await(_), _) => None,
    };
    let decided = decided.map(|found| json!({"policy": found.rule.policy, "rule": found.rule.name}));
    assert_eq!(json!(decided), case["decision"], "{name}: {case}");
}
