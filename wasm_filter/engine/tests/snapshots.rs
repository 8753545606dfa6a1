//! What the control plane sends: strict where meaning is at stake, lenient where versions meet.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::rc::Rc;

use common::{rule, snapshot_json};
use hfi_engine::snapshot::{Snapshot, SnapshotError};
use serde_json::json;

#[test]
fn a_whole_snapshot() {
    let rules = json!([rule("a", json!({"ends_at_ms": 9, "mode": "shadow", "includeProbes": true}))]);
    let parsed = Snapshot::parse(&snapshot_json(&rules)).unwrap();
    let snapshot = parsed.snapshot;
    assert_eq!((snapshot.version, snapshot.epoch.as_str(), snapshot.server_time_ms), (7, "e", 5));
    let rule = &snapshot.rules[0];
    assert_eq!((&*rule.policy, &*rule.name, rule.mode.as_str()), ("p", "a", "shadow"));
    assert!(rule.include_probes && rule.ended(9) && !rule.ended(8));
}

#[test]
fn a_bad_rule_is_left_out_and_named() {
    let rules = json!([
        rule("regex", json!({"match": {"path": {"regex": "("}}})),
        rule("good", json!({})),
        rule("matcher", json!({"match": {"cookies": []}})),
        rule("mode", json!({"mode": "audit"})),
        {"policy": "p", "name": "faultless"},
        "no rule",
    ]);
    let parsed = Snapshot::parse(&snapshot_json(&rules)).unwrap();
    let names: Vec<_> = parsed.snapshot.rules.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["good"]);
    let left: Vec<_> = parsed.left_out.iter().map(|left| (&*left.policy, &*left.rule)).collect();
    assert_eq!(left, [("p", "regex"), ("p", "matcher"), ("p", "mode"), ("p", "faultless"), ("", "")]);
    assert!(parsed.left_out[0].problem.starts_with("/match/path/regex: is not a regular expression"));
    assert_eq!(parsed.left_out[4].problem, "must be an object");
}

#[test]
fn unknown_members_are_those_of_a_newer_sender() {
    let mut data = json!({"version": "1", "epoch": "", "server_time_ms": 0, "rules": [], "new": {"a": 1}});
    data["rules"] = json!([rule("r", json!({"weight": 3}))]);
    let parsed = Snapshot::parse(data.to_string().as_bytes()).unwrap();
    assert_eq!((parsed.snapshot.rules.len(), parsed.left_out.len()), (1, 0));
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let good = json!({"version": "1", "epoch": "e", "server_time_ms": 0, "rules": []});
    for (member, bad) in [
        ("version", json!(1)),
        ("version", json!("latest")),
        ("epoch", json!(null)),
        ("server_time_ms", json!(-1)),
        ("rules", json!({})),
    ] {
        let mut data = good.clone();
        data[member] = bad;
        let error = Snapshot::parse(data.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, SnapshotError::Member(name, _) if name == member), "{error}");
        assert!(error.to_string().contains(member));
        data.as_object_mut().unwrap().remove(member);
        assert!(Snapshot::parse(data.to_string().as_bytes()).is_err());
    }
    let error = Snapshot::parse(b"\xff{").unwrap_err();
    assert!(matches!(error, SnapshotError::Unreadable(_)));
    assert!(error.to_string().starts_with("not a snapshot"));
}

#[test]
fn an_unchanged_rule_is_taken_over_and_a_changed_one_compiled() {
    let before = json!([rule("a", json!({"match": {"path": {"regex": "/a+"}}})), rule("b", json!({}))]);
    let after = json!([
        rule("b", json!({"mode": "shadow"})),
        rule("a", json!({"match": {"path": {"regex": "/a+"}}}))
    ]);
    let first = Snapshot::parse(&snapshot_json(&before)).unwrap().snapshot;
    let second = first.next(&snapshot_json(&after)).unwrap().snapshot;
    assert!(Rc::ptr_eq(&first.rules[0], &second.rules[1]));
    assert!(!Rc::ptr_eq(&first.rules[1], &second.rules[0]));
    assert_eq!(second.rules[0].mode.as_str(), "shadow");
}

#[test]
fn patterns_of_a_snapshot_have_bounded_room() {
    // Each takes nearly the most that one pattern may.
    let large =
        |index: usize| rule(&format!("r{index}"), json!({"match": {"path": {"regex": "[ab]{12000}"}}}));
    let rules = json!((0..200).map(large).collect::<Vec<_>>());
    let parsed = Snapshot::parse(&snapshot_json(&rules)).unwrap();
    assert!(!parsed.snapshot.rules.is_empty() && !parsed.left_out.is_empty());
    assert!(parsed.left_out.last().unwrap().problem.contains("no room is left"));
    // Taken over, they take the same room.
    let again = parsed.snapshot.next(&snapshot_json(&rules)).unwrap();
    assert_eq!(again.snapshot.rules.len(), parsed.snapshot.rules.len());
}
