//! Rolls, parts, waits, counts, and what is asked of the host.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Asked, Counts, Given, rule, snapshot};
use hfi_engine::chance::{Chance, Rolls, SeededRolls};
use hfi_engine::decide::{Verdict, decide};
use hfi_engine::probe::Probes;
use hfi_engine::snapshot::Snapshot;
use serde_json::{Value, json};

fn run<'s>(snapshot: &'s Snapshot, asked: &Asked, rolls: &mut impl Rolls) -> (Verdict<'s>, Vec<String>) {
    let mut counts = Counts::default();
    let verdict = decide(snapshot, asked, 1000, &Probes::default(), rolls, &mut counts);
    (verdict, counts.0)
}

fn fault(fault: Value) -> Snapshot {
    snapshot(json!([rule("r", json!({ "fault": fault }))]))
}

/// What is waited in milliseconds, the status, and the kind that was counted.
fn injected(fault_json: Value, rolls: &[u32]) -> (Option<f64>, Option<u16>, Option<String>) {
    let snapshot = fault(fault_json);
    let mut given = Given(rolls.to_vec());
    let (verdict, counts) = run(&snapshot, &Asked::get("/"), &mut given);
    assert_eq!(given.0, [] as [u32; 0], "not every roll was taken");
    let kind = counts.iter().find_map(|count| count.strip_prefix("injected r ")).map(str::to_owned);
    match verdict {
        Verdict::Pass => (None, None, kind),
        Verdict::Inject { delay, abort, .. } => {
            (delay.map(|delay| delay.as_secs_f64() * 1e3), abort.map(|abort| abort.status), kind)
        }
    }
}

#[test]
fn parts_and_waits() {
    let kind = |kind: &str| Some(kind.to_owned());
    let delay = json!({"fixedDelay": "250ms"});
    let abort = json!({"httpStatus": 503});
    let both = json!({"delay": delay, "abort": abort, "start_delay_ms": 100});
    assert_eq!(injected(json!({"delay": delay}), &[]), (Some(250.0), None, kind("delay")));
    assert_eq!(injected(json!({"abort": abort}), &[]), (None, Some(503), kind("abort")));
    assert_eq!(injected(both, &[]), (Some(350.0), Some(503), kind("delay_abort")));
    let late = json!({"abort": abort, "start_delay_ms": 100});
    assert_eq!(injected(late, &[]), (Some(100.0), Some(503), kind("abort")));
    assert_eq!(injected(json!({"delay": {"fixedDelay": "0.5ms"}}), &[]), (Some(0.5), None, kind("delay")));

    let halves = json!({
        "delay": {"fixedDelay": "1.5s", "percentage": 50}, "abort": {"httpStatus": 503, "percentage": 50},
        "start_delay_ms": 100,
    });
    let (hit, miss) = (499_999, 500_000);
    assert_eq!(injected(halves.clone(), &[hit, hit]), (Some(1600.0), Some(503), kind("delay_abort")));
    assert_eq!(injected(halves.clone(), &[hit, miss]), (Some(1600.0), None, kind("delay")));
    assert_eq!(injected(halves.clone(), &[miss, hit]), (Some(100.0), Some(503), kind("abort")));
    assert_eq!(injected(halves, &[miss, miss]), (None, None, None));
}

#[test]
fn a_miss_sends_the_search_on_and_a_fired_rule_ends_it() {
    let half = json!({"fault": {"percentage": 50, "abort": {"httpStatus": 500}}});
    let parts = json!({"fault": {"abort": {"httpStatus": 501, "percentage": 50}}});
    let snapshot = snapshot(json!([rule("a", half), rule("b", parts), rule("c", json!({}))]));
    let asked = Asked::get("/");
    let (verdict, counts) = run(&snapshot, &asked, &mut Given(vec![499_999]));
    assert!(matches!(verdict, Verdict::Inject { rule: 0, .. }));
    assert_eq!(counts, ["matched a", "injected a abort"]);
    let (verdict, counts) = run(&snapshot, &asked, &mut Given(vec![500_000, 0]));
    assert!(matches!(verdict, Verdict::Inject { rule: 1, .. }));
    assert_eq!(counts, ["matched a", "matched b", "injected b abort"]);
    // b fires, its only part misses: it has decided all the same, and c is never asked.
    let (verdict, counts) = run(&snapshot, &asked, &mut Given(vec![500_000, 999_999]));
    assert_eq!(verdict, Verdict::Pass);
    assert_eq!(counts, ["matched a", "matched b"]);
}

#[test]
fn a_shadow_rule_is_counted_and_the_search_goes_on() {
    let parts = json!({"mode": "shadow", "fault": {"abort": {"httpStatus": 501, "percentage": 50}}});
    let snapshot = snapshot(json!([rule("s", parts), rule("r", json!({}))]));
    let (_, counts) = run(&snapshot, &Asked::get("/"), &mut Given(vec![0]));
    assert_eq!(counts, ["matched s", "shadowed s abort", "matched r", "injected r abort"]);
    let (_, counts) = run(&snapshot, &Asked::get("/"), &mut Given(vec![999_999]));
    assert_eq!(counts, ["matched s", "matched r", "injected r abort"]);
}

#[test]
fn the_host_is_asked_only_what_is_needed_and_once() {
    let post = json!({"match": {"path": {"prefix": "/a"}, "method": {"exact": "POST"}}});
    let header = |value: &str| json!({"match": {"path": {"prefix": "/a"}, "headers": [{"name": "X-A", "exact": value}]}});
    let rules = json!([rule("m", post), rule("a", header("1")), rule("b", header("2"))]);
    let snapshot = snapshot(rules);
    let elsewhere = Asked::get("/b");
    run(&snapshot, &elsewhere, &mut Given(vec![]));
    assert_eq!(*elsewhere.questions.borrow(), [":path"]);
    let there = Asked::get("/a").with("x-a", "2");
    run(&snapshot, &there, &mut Given(vec![]));
    assert_eq!(*there.questions.borrow(), [":path", ":method", "x-a", "user-agent"]);
}

#[test]
fn header_values_need_not_be_utf8() {
    let any = json!({"match": {"headers": [{"name": "x", "regex": "(?s-u:a.)"}]}});
    let snapshot = snapshot(json!([rule("r", any)]));
    let asked = Asked::get("/").with("x", b"a\xff");
    assert!(matches!(run(&snapshot, &asked, &mut Given(vec![])).0, Verdict::Inject { .. }));
}

#[test]
fn percentages_hold_over_many_rolls() {
    for (percentage, seed) in [(50.0, 1), (25.0, 2), (0.5, 3), (99.9, 4)] {
        let chance = Chance::from_percentage(percentage).unwrap();
        let mut rolls = SeededRolls::new(seed);
        let rounds = 200_000;
        let hits = (0..rounds).filter(|_| chance.fires(&mut rolls)).count();
        let probability = chance.probability();
        let deviation = (f64::from(rounds) * probability * (1.0 - probability)).sqrt();
        let off = (hits as f64 - f64::from(rounds) * probability).abs();
        assert!(off < 4.0 * deviation, "{percentage}: {hits} of {rounds}");
    }
}

#[test]
fn zero_and_hundred_are_exact_and_roll_nothing() {
    let mut none = Given(vec![]);
    assert!(!Chance::from_percentage(0.0).unwrap().fires(&mut none));
    assert!(Chance::from_percentage(100.0).unwrap().fires(&mut none));
    let least = Chance::from_percentage(0.0001).unwrap();
    assert!(least.fires(&mut Given(vec![0])));
    assert!(!least.fires(&mut Given(vec![1])));
}

#[test]
fn percentages_have_up_to_four_decimals() {
    for good in [0.0001, 33.3333, 25.0001, 99.9999, 12.5] {
        assert_eq!(Chance::from_percentage(good).unwrap().percentage(), good);
    }
    for bad in [-0.0001, 100.0001, 0.000_01, 33.333_33, f64::NAN, f64::INFINITY] {
        assert_eq!(Chance::from_percentage(bad), None, "{bad}");
    }
}

#[test]
fn one_seed_gives_one_sequence() {
    let rolls = |seed| {
        let mut rolls = SeededRolls::new(seed);
        (0..5).map(|_| rolls.below_million()).collect::<Vec<_>>()
    };
    assert_eq!(rolls(1), rolls(1));
    assert_ne!(rolls(1), rolls(2));
}

#[test]
fn paths_named_in_the_bootstrap_are_left_alone() {
    let snapshot = snapshot(json!([rule("r", json!({}))]));
    let probes = Probes::new(["/healthz"]);
    let passes = |path: &str| {
        let mut counts = Counts::default();
        let asked = Asked::get(path);
        let verdict = decide(&snapshot, &asked, 0, &probes, &mut Given(vec![]), &mut counts);
        verdict == Verdict::Pass && counts.0.is_empty()
    };
    assert!(passes("/healthz") && passes("/healthz?full"));
    assert!(!passes("/healthz/deep") && !passes("/"));
}
