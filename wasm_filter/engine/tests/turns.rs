//! Rules that are not left to chance, or not for ever: sticky, seed, times, sequences, limits.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::{Asked, Proxy, rule, snapshot, status};
use hfi_engine::chance::{Rolls, SeededRolls};
use hfi_engine::decide::Verdict;
use hfi_engine::snapshot::Snapshot;
use serde_json::{Value, json};

/// A rule `r` with this fault, which is an abort unless it says otherwise, and a fallback `z`.
fn rules(fault: Value) -> Snapshot {
    of_policy(fault, json!({}))
}

/// The same; and of its policy, this.
fn of_policy(mut fault: Value, mut more: Value) -> Snapshot {
    if fault.get("sequence").is_none() && fault.get("abort").is_none() {
        fault["abort"] = json!({"httpStatus": 503});
    }
    more["fault"] = fault;
    snapshot(json!([rule("r", more), rule("z", json!({"fault": {"abort": {"httpStatus": 418}}}))]))
}

/// A percentage, by the value of a header.
fn sticky(percentage: f64) -> Value {
    json!({"percentage": percentage, "sticky": {"header": "X-User"}})
}

fn seeded(percentage: f64) -> Snapshot {
    of_policy(json!({"percentage": percentage}), json!({"seed": 42}))
}

/// Which requests `r` decides, of so many; the others are left to `z`.
fn fired<R: Rolls>(proxy: &mut Proxy<R>, rules: &Snapshot, asked: &Asked, requests: usize) -> Vec<bool> {
    (0..requests).map(|_| proxy.inject(rules, asked).unwrap().at == 0).collect()
}

fn user(name: &str) -> Asked {
    Asked::get("/").with("x-user", name)
}

/// Computed by another implementation of XXH64: `XXH64(value, XXH64("p/r", seed)) mod 1,000,000`.
const ROLLS: [(&str, u32, u32); 3] =
    [("alice", 504_483, 116_067), ("bob", 59_145, 142_975), ("carol", 428_173, 547_422)];

#[test]
fn a_sticky_roll_is_the_hash_of_the_value() {
    for (name, unseeded, with_seed) in ROLLS {
        for (roll, seed) in [(unseeded, None), (with_seed, Some(42))] {
            let hits = |parts: u32| {
                let rules = of_policy(sticky(f64::from(parts) / 10_000.0), json!({"seed": seed}));
                // No roll is given, and no count kept.
                let mut proxy = Proxy::default();
                let hits = fired(&mut proxy, &rules, &user(name), 2);
                assert_eq!(hits[0], hits[1]);
                assert!(proxy.tallies.counts.is_empty());
                hits[0]
            };
            assert!(!hits(roll) && hits(roll + 1), "{name} rolls {roll}");
        }
    }
}

#[test]
fn a_sticky_value_meets_one_fate_parts_and_delay_included() {
    let mut fault = sticky(50.0);
    fault["delay"] = json!({"uniform": {"min": "0ms", "max": "1s"}, "percentage": 50});
    fault["abort"] = json!({"httpStatus": 503, "percentage": 50});
    let rules = rules(fault);
    let fate = |name: &str| {
        let mut proxy = Proxy::default();
        let verdict = proxy.decide(&rules, &user(name));
        let fate = match &verdict {
            Verdict::Inject(found) => format!("{} {:?} {:?}", found.at, found.kind().name(), found.wait),
            verdict => format!("{verdict:?}"),
        };
        assert_eq!(proxy.decide(&rules, &user(name)), verdict);
        fate
    };
    let fates: HashSet<String> = (0..200).map(|name| fate(&name.to_string())).collect();
    // The rule passes it on, aborts it, or decides and lets it be; or delays it, each by a time of its own.
    let kinds = ["1 \"abort\" None", "0 \"abort\" None", "Pass"];
    assert!(kinds.iter().all(|kind| fates.contains(*kind)), "{fates:?}");
    assert!(fates.iter().filter(|fate| fate.contains("0 \"delay\"")).count() > 10, "{fates:?}");
    assert!(fates.iter().any(|fate| fate.contains("delay_abort")), "{fates:?}");
}

#[test]
fn the_first_value_counts_and_without_one_it_is_an_ordinary_roll() {
    let rules = rules(sticky(50.0));
    let two = user("bob").with("x-user", "alice");
    assert_eq!(fired(&mut Proxy::default(), &rules, &two, 1), [true]);
    let two = user("alice").with("x-user", "bob");
    assert_eq!(fired(&mut Proxy::default(), &rules, &two, 1), [false]);
    let mut proxy = Proxy::rolling(&[499_999, 500_000]);
    assert_eq!(fired(&mut proxy, &rules, &Asked::get("/"), 2), [true, false]);
}

#[test]
fn a_sticky_header_is_asked_for_only_where_something_is_left_to_chance() {
    for (percentage, questions) in [(0.0, 0), (50.0, 1), (100.0, 0)] {
        let asked = user("bob");
        Proxy::default().decide(&rules(sticky(percentage)), &asked);
        let asked = asked.questions.borrow();
        assert_eq!(asked.iter().filter(|name| *name == "x-user").count(), questions, "{percentage}");
    }
}

/// Computed by another implementation of XXH64: `XXH64(n, XXH64("p/r", 42)) mod 1,000,000` for n = 0, 1, …
const SEEDED: [u32; 8] = [237_398, 867_171, 798_830, 330_528, 611_651, 454_037, 26_889, 698_705];

#[test]
fn a_seeded_roll_is_the_hash_of_the_count() {
    for parts in SEEDED.iter().flat_map(|roll| [*roll, roll + 1]) {
        let rules = seeded(f64::from(parts) / 10_000.0);
        let hits = fired(&mut Proxy::default(), &rules, &Asked::get("/"), SEEDED.len());
        assert_eq!(hits, SEEDED.map(|roll| roll < parts));
    }
}

#[test]
fn a_seeded_run_repeats_and_another_seed_gives_another() {
    let run = |seed: u64, rolls: u64| {
        let delay = json!({"pareto": {"scale": "1ms", "shape": 0.5, "max": "1s"}, "percentage": 50});
        let rules = of_policy(json!({"percentage": 50, "delay": delay}), json!({"seed": seed}));
        // The proxy's own rolls have no part in it.
        let mut proxy = Proxy::with(SeededRolls::new(rolls));
        let asked = Asked::get("/");
        (0..100).map(|_| proxy.inject(&rules, &asked).map(|found| (found.at, found.wait))).collect::<Vec<_>>()
    };
    let once = run(1, 1);
    assert_eq!(once, run(1, 2));
    assert_ne!(once, run(2, 1));
    let waits: HashSet<_> = once.iter().flatten().filter_map(|(_, wait)| *wait).collect();
    assert!(waits.len() > 10, "{waits:?}");
}

#[test]
fn with_a_seed_sticky_values_need_no_count_and_requests_without_one_have_it() {
    let rules = of_policy(sticky(50.0), json!({"seed": 42}));
    let mut proxy = Proxy::default();
    assert_eq!(fired(&mut proxy, &rules, &user("bob"), 3), [true; 3]);
    let hits = fired(&mut proxy, &rules, &Asked::get("/"), SEEDED.len());
    assert_eq!(hits, SEEDED.map(|roll| roll < 500_000));
}

#[test]
fn nothing_is_counted_where_nothing_is_left_to_chance() {
    let mut proxy = Proxy::default();
    assert_eq!(fired(&mut proxy, &seeded(100.0), &Asked::get("/"), 1), [true]);
    assert_eq!(fired(&mut proxy, &seeded(0.0), &Asked::get("/"), 1), [false]);
    assert!(proxy.tallies.counts.is_empty());
}

#[test]
fn only_the_first_firings() {
    let rules = rules(json!({"percentage": 50, "times": 2}));
    let mut proxy = Proxy::rolling(&[0, 999_999, 0, 0, 999_999, 0]);
    let hits = fired(&mut proxy, &rules, &Asked::get("/"), 6);
    assert_eq!(hits, [true, false, true, false, false, false]);
    let skipped: Vec<_> = proxy.counted().into_iter().filter(|count| count.starts_with("skipped")).collect();
    assert_eq!(
        skipped,
        ["skipped r percentage", "skipped r times", "skipped r percentage", "skipped r times"]
    );
}

#[test]
fn a_sequence_goes_round_and_a_pass_sends_the_search_on() {
    let rules = rules(json!({"sequence": [503, 429, "pass"]}));
    let mut proxy = Proxy::default();
    let answers: Vec<_> = (0..7).map(|_| status(proxy.inject(&rules, &Asked::get("/"))).unwrap()).collect();
    assert_eq!(answers, [503, 429, 418, 503, 429, 418, 503]);
    let counts = proxy.counted();
    assert_eq!(counts.iter().filter(|count| *count == "skipped r times").count(), 2);
    assert_eq!(counts.iter().filter(|count| *count == "injected r abort").count(), 5);
}

#[test]
fn only_firings_take_a_step() {
    let rules = rules(json!({"percentage": 50, "sequence": [503, 429]}));
    let mut proxy = Proxy::rolling(&[0, 999_999, 0]);
    let answers: Vec<_> = (0..3).map(|_| status(proxy.inject(&rules, &Asked::get("/")))).collect();
    assert_eq!(answers, [Some(503), Some(418), Some(429)]);
}

#[test]
fn times_and_a_sequence_share_one_count() {
    let rules = rules(json!({"sequence": [503, 429, "pass"], "times": 4}));
    let mut proxy = Proxy::default();
    let answers: Vec<_> = (0..6).map(|_| status(proxy.inject(&rules, &Asked::get("/"))).unwrap()).collect();
    assert_eq!(answers, [503, 429, 418, 503, 418, 418]);
}

#[test]
fn a_count_that_does_not_get_through_fires_nothing() {
    for (rules, why) in [
        (rules(json!({"times": 9})), "times"),
        (rules(json!({"sequence": [503]})), "times"),
        (seeded(99.9999), "percentage"),
    ] {
        let mut proxy = Proxy::default();
        proxy.tallies.out_of_luck = true;
        assert_eq!(fired(&mut proxy, &rules, &Asked::get("/"), 1), [false]);
        assert_eq!(proxy.counted()[1], format!("skipped r {why}"));
    }
}

/// With limits, to whatever they come.
fn limited(fault: Value) -> Snapshot {
    of_policy(fault, json!({"limits": {"maxActive": 1}}))
}

#[test]
fn beyond_the_limits_the_search_goes_on() {
    let rules = limited(json!({"start_delay_ms": 7}));
    let mut proxy = Proxy::default();
    proxy.tallies.places = 2;
    assert_eq!(fired(&mut proxy, &rules, &Asked::get("/"), 3), [true, true, false]);
    assert_eq!(proxy.tallies.admitted, [Duration::from_millis(7); 2]);
    assert_eq!(proxy.counted()[4..6], ["matched r", "skipped r limit"]);
}

#[test]
fn a_place_is_asked_for_last() {
    let half = json!({"httpStatus": 503, "percentage": 50});
    let rules = limited(json!({"percentage": 50, "times": 1, "abort": half}));
    let mut proxy = Proxy::rolling(&[999_999, 0, 999_999, 0]);
    proxy.tallies.places = 9;
    // The roll misses; the part misses, so that it decides and takes no place; the times are over.
    assert_eq!(proxy.inject(&rules, &Asked::get("/")).unwrap().at, 1);
    assert_eq!(proxy.decide(&rules, &Asked::get("/")), Verdict::Pass);
    assert_eq!(proxy.inject(&rules, &Asked::get("/")).unwrap().at, 1);
    assert_eq!(proxy.tallies.places, 9);
}

#[test]
fn a_rehearsal_counts_its_times_and_takes_no_place() {
    let rules = of_policy(json!({"times": 1}), json!({"mode": "shadow", "limits": {"maxPerSecond": 1}}));
    let mut proxy = Proxy::default();
    assert_eq!(fired(&mut proxy, &rules, &Asked::get("/"), 2), [false, false]);
    let counts = ["matched r", "shadowed r abort", "matched z", "injected z abort"];
    let over = ["matched r", "skipped r times", "matched z", "injected z abort"];
    assert_eq!(proxy.counted(), [counts, over].concat());
}

#[test]
fn a_rule_at_the_response_keeps_its_turns_and_limits_too() {
    let fault = json!({"delay": {"fixedDelay": "1s", "phase": "response"}, "times": 2});
    let late = json!({"match": {"response": {"status": {"exact": 500}}}, "limits": {"maxActive": 1}});
    let mut late = rule("r", late);
    late["fault"] = fault;
    let rules = snapshot(json!([late]));
    let mut proxy = Proxy::default();
    proxy.tallies.places = 1;
    let asked = Asked::get("/");
    let second = Some(Duration::from_secs(1));
    assert_eq!(proxy.respond(&rules, &asked, 500).unwrap().response_wait, second);
    assert_eq!(proxy.respond(&rules, &asked, 500), None);
    assert_eq!(proxy.respond(&rules, &asked, 500), None);
    let skipped: Vec<_> = proxy.counted().into_iter().filter(|count| count.starts_with("skipped")).collect();
    assert_eq!(skipped, ["skipped r limit", "skipped r times"]);
    assert_eq!(proxy.tallies.admitted, [Duration::from_secs(1)]);
}
