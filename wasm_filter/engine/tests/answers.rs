//! The control plane's streams, the filter's bootstrap, and the JSON questions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::rule;
use hfi_engine::config::PluginConfig;
use hfi_engine::questions::{check_json, explain_json};
use hfi_engine::sse::{Event, events};
use serde_json::{Value, json};

fn event(id: &str, event: &str, data: &str) -> Event {
    Event { id: id.into(), event: event.into(), data: data.into() }
}

#[test]
fn sse_by_the_book() {
    let one = |text: &str| events(text.as_bytes());
    assert_eq!(one("id: 1842\nevent: update\ndata: {}\n\n"), [event("1842", "update", "{}")]);
    assert_eq!(one(": a comment\n\n"), []);
    assert_eq!(one(""), []);
    // Line ends of every kind, a byte order mark, one space and no more.
    assert_eq!(
        one("\u{feff}data:  a\r\n\r\ndata:b\r\rdata\n\n"),
        [event("", "message", " a"), event("", "message", "b"), event("", "message", ""),]
    );
    assert_eq!(one("data: a\ndata: b\n\n"), [event("", "message", "a\nb")]);
    // The id stays, the type does not; an id with NUL is ignored; an event without data is none.
    assert_eq!(
        one("id: 1\nevent: x\n\ndata: a\nid: 2\0\nretry: 5\nnonsense: 1\n\nid\ndata: b\n\n"),
        [event("1", "message", "a"), event("", "message", "b"),]
    );
    assert_eq!(one("data: whole\n\ndata: cut off\n"), [event("", "message", "whole")]);
    assert_eq!(events(b"data: \xff\n\n"), [event("", "message", "\u{fffd}")]);
}

#[test]
fn a_bootstrap_and_its_defaults() {
    for empty in [&b""[..], b" \n", b"{}"] {
        assert_eq!(PluginConfig::parse(empty), (PluginConfig::default(), vec![]));
    }
    let defaults = PluginConfig::default();
    assert_eq!((defaults.http_cluster.as_str(), defaults.authority.as_str()), ("hfi_http", "hfi"));
    assert_eq!((defaults.wait_seconds, defaults.max_staleness_seconds, defaults.generation), (25, 600, 1));
    let (config, problems) = PluginConfig::parse(
        br#"{"http_cluster":"c","authority":"a","wait_seconds":1,"max_staleness_seconds":0,
            "probe_paths":["/healthz"],"generation":3,"newer":true}"#,
    );
    assert_eq!(problems, []);
    assert_eq!((config.http_cluster.as_str(), config.authority.as_str()), ("c", "a"));
    assert_eq!((config.wait_seconds, config.max_staleness_seconds, config.generation), (1, 0, 3));
    assert_eq!(config.probe_paths, ["/healthz"]);
}

#[test]
fn what_a_bootstrap_cannot_mean_keeps_its_default() {
    let (config, problems) = PluginConfig::parse(
        br#"{"http_cluster":"","authority":1,"wait_seconds":0,"max_staleness_seconds":-1,"generation":"x",
            "probe_paths":["healthz","/a?b",1,"/ok"]}"#,
    );
    let pointers: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/http_cluster",
            "/authority",
            "/wait_seconds",
            "/max_staleness_seconds",
            "/generation",
            "/probe_paths/0",
            "/probe_paths/1",
            "/probe_paths/2",
        ]
    );
    assert_eq!(config, PluginConfig { probe_paths: vec!["/ok".into()], ..PluginConfig::default() });
    for bad in [&b"{"[..], b"[]", b"null"] {
        let (config, problems) = PluginConfig::parse(bad);
        assert_eq!((config, problems.len()), (PluginConfig::default(), 1));
    }
}

#[test]
fn check_answers_problems_even_of_what_is_no_json() {
    let answer: Value = serde_json::from_slice(&check_json(b"{")).unwrap();
    assert_eq!(answer[0]["pointer"], "");
    assert!(answer[0]["detail"].as_str().unwrap().starts_with("is not JSON"));
    let answer: Value = serde_json::from_slice(&check_json(b"{}")).unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 4);
}

fn explained(question: &Value) -> Value {
    serde_json::from_slice(&explain_json(question.to_string().as_bytes())).unwrap()
}

#[test]
fn explain_answers_steps_with_their_chances() {
    let half = json!({"fault": {"percentage": 50, "abort": {"httpStatus": 500}}});
    let header = json!({"match": {"headers": [{"name": "X", "present": true}]}});
    let method = json!({"match": {"method": {"exact": "PUT"}}});
    let rules = json!([
        rule("h", header),
        rule("m", method),
        rule("a", half.clone()),
        rule("b", half),
        rule("bad", json!({"mode": 1})),
    ]);
    let answer = explained(&json!({
        "snapshot": {"version": "1", "epoch": "e", "server_time_ms": 0, "rules": rules},
        "now_ms": 1, "request": {"method": "GET", "path": "/"},
    }));
    assert_eq!(answer["decision"], Value::Null);
    assert_eq!(answer["none_probability"], 0.25);
    let steps: Vec<_> = answer["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["reason"].as_str().unwrap(), step["probability"].as_f64().unwrap()))
        .collect();
    assert_eq!(
        steps,
        [
            ("header x", 0.0),
            ("method", 0.0),
            ("matches; fires by chance", 0.5),
            ("matches; fires by chance", 0.25),
        ]
    );
    assert_eq!(answer["left_out"][0]["rule"], "bad");
}

/// Each step's outcome and probability, and the chance that none decides.
fn chances(rules: &Value, request: &Value) -> (Vec<(String, f64)>, f64) {
    let answer = explained(&json!({
        "snapshot": {"version": "1", "epoch": "e", "server_time_ms": 0, "rules": rules},
        "now_ms": 1, "request": request,
    }));
    assert_eq!(answer["left_out"], json!([]));
    let step =
        |step: &Value| (step["outcome"].as_str().unwrap().to_owned(), step["probability"].as_f64().unwrap());
    (
        answer["steps"].as_array().unwrap().iter().map(step).collect(),
        answer["none_probability"].as_f64().unwrap(),
    )
}

#[test]
fn chances_of_turns_and_of_rules_that_look_at_the_response() {
    let sequence = json!({"fault": {"percentage": 50, "sequence": [503, "pass"]}});
    let late =
        json!({"match": {"response": {"status": {"min": 500}}}, "fault": {"response": {"status": 418}}});
    let half = json!({"fault": {"percentage": 50, "abort": {"httpStatus": 500}}});
    let rules = json!([rule("l", late), rule("s", sequence), rule("h", half)]);
    let step = |outcome: &str, probability: f64| (outcome.to_owned(), probability);
    let request = |status: Value| json!({"method": "GET", "path": "/", "status": status});
    // In the snapshot's order, each with what the rules that are asked before it leave.
    let requests = [step("may_decide", 0.25), step("may_decide", 0.375)];
    let unknown = [vec![step("awaits_response", 0.0)], requests.to_vec()].concat();
    assert_eq!(chances(&rules, &request(json!(null))), (unknown, 0.375));
    let wanted = [vec![step("decides", 0.375)], requests.to_vec()].concat();
    assert_eq!(chances(&rules, &request(json!(503))), (wanted, 0.0));
    let other = [vec![step("no_match", 0.0)], requests.to_vec()].concat();
    assert_eq!(chances(&rules, &request(json!(200))), (other, 0.375));
}

#[test]
fn a_question_that_cannot_be_read_is_answered_by_an_error() {
    let snapshot = json!({"version": "1", "epoch": "e", "server_time_ms": 0, "rules": []});
    let request = json!({"method": "GET", "path": "/", "headers": []});
    for (question, said) in [
        (json!({}), "/now_ms: is required"),
        (json!({"now_ms": 1, "snapshot": snapshot}), "/request: is required"),
        (json!({"now_ms": 1, "request": request}), "not a snapshot"),
        (json!({"now_ms": 1, "request": {"method": 1, "path": "/"}}), "/request/method: must be a string"),
        (
            json!({"now_ms": 1, "request": {"method": "", "path": "", "headers": [["a"]]}}),
            "a name and a value",
        ),
        (json!({"now_ms": 1, "request": {"method": "", "path": "", "headers": 1}}), "must be a list"),
        (json!({"now_ms": 1, "request": request, "probe_paths": [1]}), "/probe_paths/0"),
        (json!({"now_ms": 1, "request": {"method": "", "path": "", "status": 99}}), "/request/status"),
    ] {
        let answer = explained(&question);
        assert!(answer["error"].as_str().unwrap().contains(said), "{question}: {answer}");
    }
    let answer: Value = serde_json::from_slice(&explain_json(b"")).unwrap();
    assert!(answer["error"].as_str().unwrap().starts_with("is not JSON"));
}
