//! What the control plane sends: strict where meaning is at stake, lenient where versions meet.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::rc::Rc;

use common::{rule, snapshot_json};
use hfi_engine::rules::Rules;
use hfi_engine::snapshot::{Compiler, RuleSet, Snapshot, SnapshotError};
use serde_json::{Value, json};

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

fn opened(compiler: &mut Compiler, rules: &Value, previous: Option<&RuleSet>) -> RuleSet {
    RuleSet::open(compiler.compile(&snapshot_json(rules)).unwrap().image, previous).unwrap()
}

#[test]
fn an_image_says_what_the_snapshot_said() {
    let rules = json!([rule("a", json!({"ends_at_ms": 9})), {"policy": "p", "name": "faultless"}, rule("b", json!({}))]);
    let data = snapshot_json(&rules);
    let compiled = Compiler::default().compile(&data).unwrap();
    assert_eq!(compiled.left_out, Snapshot::parse(&data).unwrap().left_out);
    assert_eq!(compiled.left_out[0].rule, "faultless");
    let set = RuleSet::open(compiled.image, None).unwrap();
    assert_eq!((set.version(), set.epoch(), set.server_time_ms()), (7, "e", 5));
    assert_eq!((set.len(), set.is_empty(), set.timed()), (2, false, true));
    assert_eq!((set.ends_at_ms(0), set.ends_at_ms(1), set.ends_at_ms(2)), (Some(9), None, None));
    assert_eq!((&*set.rule(0).unwrap().name, &*set.rule(1).unwrap().name), ("a", "b"));
    assert!(set.rule(2).is_none());
    let none = opened(&mut Compiler::default(), &json!([]), None);
    assert_eq!((none.len(), none.is_empty(), none.timed()), (0, true, false));
}

#[test]
fn what_is_no_image_is_refused() {
    assert!(RuleSet::open(Vec::new(), None).is_none());
    assert!(RuleSet::open(vec![0; 200], None).is_none());
    let image = Compiler::default().compile(&snapshot_json(&json!([rule("a", json!({}))]))).unwrap().image;
    let mut older = image.clone();
    older[4] = 0;
    assert!(RuleSet::open(older, None).is_none());
    for end in 0..image.len() {
        assert!(RuleSet::open(image[..end].to_vec(), None).is_none());
    }
}

#[test]
fn an_unchanged_rule_is_taken_over_and_a_changed_one_compiled() {
    let a = rule("a", json!({"match": {"path": {"regex": "/a+"}}}));
    let b = rule("b", json!({}));
    let mut compiler = Compiler::default();
    let first = opened(&mut compiler, &json!([a, b]), None);
    let (a1, b1) = (first.rule(0).unwrap(), first.rule(1).unwrap());
    assert!(Rc::ptr_eq(&a1, &first.rule(0).unwrap()));
    let second = opened(&mut compiler, &json!([rule("b", json!({"mode": "shadow"})), a]), Some(&first));
    assert_eq!(second.rule(0).unwrap().mode.as_str(), "shadow");
    assert!(!Rc::ptr_eq(&b1, &second.rule(0).unwrap()));
    assert!(Rc::ptr_eq(&a1, &second.rule(1).unwrap()));
    // What nobody needed for a whole snapshot is forgotten; it costs no more than to compile it again.
    let third = opened(&mut compiler, &json!([a, b]), Some(&second));
    let fourth = opened(&mut compiler, &json!([a, b]), Some(&third));
    assert!(!Rc::ptr_eq(&a1, &fourth.rule(0).unwrap()));
    assert_eq!(a1, fourth.rule(0).unwrap());
}

#[test]
fn what_was_checked_before_makes_the_same_image() {
    let rules = json!([
        rule(
            "a",
            json!({"match": {"path": {"regex": "/a+/orders"}, "headers": [{"name": "x", "exact": "1"}]}})
        ),
        rule("b", json!({"match": {"path": {"prefix": "/b"}}})),
        rule("bad", json!({"match": {"path": {"regex": "("}}})),
        rule("b", json!({"match": {"path": {"prefix": "/b"}}})),
    ]);
    let mut compiler = Compiler::default();
    let first = compiler.compile(&snapshot_json(&rules)).unwrap();
    assert_eq!((first.left_out.len(), compiler.compile(&snapshot_json(&rules)).unwrap() == first), (1, true));
    assert!(compiler.compile(b"{}").is_err());
    assert_eq!(compiler.compile(&snapshot_json(&rules)).unwrap(), first);
}

#[test]
fn compiled_rules_have_bounded_room() {
    // Each takes a quarter of a megabyte, so that not all of them are kept.
    let large = |at: usize| {
        let pattern = format!("[ab]{{12000}}{at}");
        rule(&format!("r{at}"), json!({"match": {"path": {"regex": pattern}}}))
    };
    let set = opened(&mut Compiler::default(), &json!((0..40).map(large).collect::<Vec<_>>()), None);
    let first = set.rule(0).unwrap();
    assert!(Rc::ptr_eq(&first, &set.rule(0).unwrap()));
    assert!((1..40).all(|at| set.rule(at).is_some()));
    assert!(!Rc::ptr_eq(&first, &set.rule(0).unwrap()));
}

#[test]
fn patterns_of_a_snapshot_have_bounded_room() {
    // Each takes much of what one pattern may.
    let large =
        |index: usize| rule(&format!("r{index}"), json!({"match": {"path": {"regex": "[ab]{12000}"}}}));
    let data = snapshot_json(&json!((0..300).map(large).collect::<Vec<_>>()));
    let mut compiler = Compiler::default();
    let compiled = compiler.compile(&data).unwrap();
    let set = RuleSet::open(compiled.image.clone(), None).unwrap();
    assert!(!set.is_empty() && set.len() + compiled.left_out.len() == 300);
    assert!(compiled.left_out.last().unwrap().problem.contains("no room is left"));
    // Known from before, they take the same room.
    assert_eq!(compiler.compile(&data).unwrap(), compiled);
    assert_eq!(Snapshot::parse(&data).unwrap().left_out, compiled.left_out);
}
