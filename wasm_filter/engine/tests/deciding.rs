//! The rules of deciding, one by one; parts, waits, counts, and what is asked of the host.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{Asked, Given, Proxy, rule, snapshot, status};
use hfi_engine::chance::{Chance, Rolls, SeededRolls};
use hfi_engine::decide::{Skip, Verdict, decide_response};
use hfi_engine::fault::abort::End;
use hfi_engine::injection::Kind;
use hfi_engine::probe::Probes;
use hfi_engine::snapshot::Snapshot;
use serde_json::{Value, json};

const HIT: u32 = 499_999;
const MISS: u32 = 500_000;

fn half(name: &str) -> Value {
    rule(name, json!({"fault": {"percentage": 50, "abort": {"httpStatus": 500}}}))
}

/// A rule that always fires, and whose only part does so by a roll of its own.
fn half_a_part(name: &str) -> Value {
    rule(name, json!({"fault": {"abort": {"httpStatus": 501, "percentage": 50}}}))
}

fn of_fault(fault: Value) -> Snapshot {
    snapshot(json!([rule("r", json!({ "fault": fault }))]))
}

/// Milliseconds that the request and its response are held back, the status, and the kind that was counted.
type Injected = (Option<f64>, Option<f64>, Option<u16>, Option<String>);

fn injected(fault: Value, rolls: &[u32]) -> Injected {
    let rules = of_fault(fault);
    let mut proxy = Proxy::rolling(rolls);
    let injection = proxy.inject(&rules, &Asked::get("/"));
    assert_eq!(proxy.rolls.0, [] as [u32; 0], "not every roll was taken");
    let counts = proxy.counted();
    let kind = counts.iter().find_map(|count| count.strip_prefix("injected r ")).map(str::to_owned);
    assert_eq!(kind, injection.as_ref().map(|injection| injection.kind().name()));
    let ms = |wait: Option<Duration>| wait.map(|wait| wait.as_secs_f64() * 1e3);
    let waits = injection.as_ref().map_or((None, None), |found| (ms(found.wait), ms(found.response_wait)));
    (
        waits.0,
        waits.1,
        injection.filter(|found| found.abort().is_some()).and_then(|found| status(Some(found))),
        kind,
    )
}

fn kind(kind: &str) -> Option<String> {
    Some(kind.to_owned())
}

#[test]
fn parts_and_waits() {
    let delay = json!({"fixedDelay": "250ms"});
    let abort = json!({"httpStatus": 503});
    let both = json!({"delay": delay, "abort": abort, "start_delay_ms": 100});
    assert_eq!(injected(json!({"delay": delay}), &[]), (Some(250.0), None, None, kind("delay")));
    assert_eq!(injected(json!({"abort": abort}), &[]), (None, None, Some(503), kind("abort")));
    assert_eq!(injected(both, &[]), (Some(350.0), None, Some(503), kind("delay_abort")));
    let started = json!({"abort": abort, "start_delay_ms": 100});
    assert_eq!(injected(started, &[]), (Some(100.0), None, Some(503), kind("abort")));
    let short = json!({"delay": {"fixedDelay": "0.5ms"}});
    assert_eq!(injected(short, &[]), (Some(0.5), None, None, kind("delay")));
    // A delay that is drawn is one even where it comes to nothing.
    let drawn = json!({"delay": {"uniform": {"min": "0ms", "max": "4ms"}}});
    assert_eq!(injected(drawn.clone(), &[250_000]), (Some(1.0), None, None, kind("delay")));
    assert_eq!(injected(drawn, &[0]), (None, None, None, kind("delay")));
}

#[test]
fn a_response_waits_by_itself_unless_the_request_is_aborted() {
    let delay = json!({"fixedDelay": "250ms", "phase": "response"});
    let late = json!({"delay": delay, "start_delay_ms": 100});
    assert_eq!(injected(late, &[]), (Some(100.0), Some(250.0), None, kind("delay")));
    let aborted = json!({"delay": delay, "abort": {"httpStatus": 503, "percentage": 50}});
    assert_eq!(injected(aborted.clone(), &[HIT]), (Some(250.0), None, Some(503), kind("delay_abort")));
    assert_eq!(injected(aborted, &[MISS]), (None, Some(250.0), None, kind("delay")));
    let request = json!({"headers": {"remove": ["authorization"]}});
    let everything = json!({"delay": delay, "request": request, "response": {"status": 500}});
    assert_eq!(injected(everything, &[]), (None, Some(250.0), None, kind("request_delay_response")));
}

#[test]
fn parts_with_percentages_of_their_own() {
    let halves = json!({
        "delay": {"fixedDelay": "1.5s", "percentage": 50}, "abort": {"httpStatus": 503, "percentage": 50},
        "start_delay_ms": 100,
    });
    let roll = |rolls: &[u32]| injected(halves.clone(), rolls);
    assert_eq!(roll(&[HIT, HIT]), (Some(1600.0), None, Some(503), kind("delay_abort")));
    assert_eq!(roll(&[HIT, MISS]), (Some(1600.0), None, None, kind("delay")));
    assert_eq!(roll(&[MISS, HIT]), (Some(100.0), None, Some(503), kind("abort")));
    assert_eq!(roll(&[MISS, MISS]), (None, None, None, None));

    let rewrites = json!({
        "request": {"headers": {"remove": ["authorization"]}, "percentage": 50},
        "response": {"status": 500, "percentage": 50},
    });
    let roll = |rolls: &[u32]| injected(rewrites.clone(), rolls).3;
    assert_eq!(roll(&[HIT, HIT]), kind("request_response"));
    assert_eq!(roll(&[HIT, MISS]), kind("request"));
    assert_eq!(roll(&[MISS, HIT]), kind("response"));
    assert_eq!(roll(&[MISS, MISS]), None);
}

#[test]
fn an_injection_holds_only_what_was_drawn() {
    let rules = of_fault(json!({
        "request": {"headers": {"remove": ["authorization"]}, "percentage": 0}, "response": {"status": 500},
    }));
    let injection = Proxy::default().inject(&rules, &Asked::get("/")).unwrap();
    assert_eq!((injection.abort(), injection.request()), (None, None));
    assert_eq!(injection.response().unwrap().status, Some(500));
    assert_eq!((injection.at, &*injection.rule.name, injection.hold()), (0, "r", Duration::ZERO));
}

#[test]
fn every_end_has_its_kind() {
    for (abort, end, name) in [
        (json!({"httpStatus": 503}), End::Http { status: 503, body: None }, "abort"),
        (json!({"grpcStatus": 14}), End::Grpc { status: 14, message: None }, "abort"),
        (json!({"reset": true}), End::Reset, "reset"),
    ] {
        let injection =
            Proxy::default().inject(&of_fault(json!({"abort": abort})), &Asked::get("/")).unwrap();
        assert_eq!(injection.abort().unwrap().end, end);
        assert_eq!(injection.kind().name(), name);
        assert!(injection.kind().index() < Kind::COUNT);
    }
}

#[test]
fn a_miss_sends_the_search_on_and_a_fired_rule_ends_it() {
    let rules = snapshot(json!([half("a"), half_a_part("b"), rule("c", json!({}))]));
    let asked = Asked::get("/");
    let mut proxy = Proxy::rolling(&[HIT]);
    assert_eq!(proxy.inject(&rules, &asked).unwrap().at, 0);
    assert_eq!(proxy.counted(), ["matched a", "injected a abort"]);
    let mut proxy = Proxy::rolling(&[MISS, 0]);
    assert_eq!(proxy.inject(&rules, &asked).unwrap().at, 1);
    assert_eq!(proxy.counted(), ["matched a", "skipped a percentage", "matched b", "injected b abort"]);
    // b fires, its only part misses: it has decided all the same, and c is never asked.
    let mut proxy = Proxy::rolling(&[MISS, 999_999]);
    assert_eq!(proxy.decide(&rules, &asked), Verdict::Pass);
    assert_eq!(proxy.counted(), ["matched a", "skipped a percentage", "matched b"]);
}

#[test]
fn a_rule_that_is_over_or_stale_never_fires() {
    let rules = snapshot(json!([rule("a", json!({"ends_at_ms": 10})), rule("b", json!({}))]));
    let asked = Asked::get("/");
    let mut proxy = Proxy { now_ms: 9, ..Proxy::default() };
    assert_eq!(proxy.inject(&rules, &asked).unwrap().at, 0);
    proxy.now_ms = 10;
    proxy.counted();
    assert_eq!(proxy.inject(&rules, &asked).unwrap().at, 1);
    assert_eq!(proxy.counted(), ["skipped a expired", "matched b", "injected b abort"]);
    proxy.stale = true;
    assert_eq!(proxy.decide(&rules, &asked), Verdict::Pass);
    assert_eq!(proxy.counted(), ["skipped a expired", "skipped b stale"]);
}

#[test]
fn a_probe_is_left_alone_unless_it_is_included() {
    let rules = snapshot(json!([rule("a", json!({})), rule("b", json!({"includeProbes": true}))]));
    let mut proxy = Proxy { probes: Probes::new(["/healthz"]), ..Proxy::default() };
    for path in ["/healthz", "/healthz?full"] {
        assert_eq!(proxy.inject(&rules, &Asked::get(path)).unwrap().at, 1);
        assert_eq!(proxy.counted(), ["skipped a probe", "matched b", "injected b abort"]);
    }
    for path in ["/healthz/deep", "/"] {
        assert_eq!(proxy.inject(&rules, &Asked::get(path)).unwrap().at, 0);
    }
}

#[test]
fn a_shadow_rule_is_counted_and_the_search_goes_on() {
    let mut shadow = half_a_part("s");
    shadow["mode"] = json!("shadow");
    let rules = snapshot(json!([shadow, rule("r", json!({}))]));
    let mut proxy = Proxy::rolling(&[0, 999_999]);
    assert_eq!(proxy.inject(&rules, &Asked::get("/")).unwrap().at, 1);
    assert_eq!(proxy.counted(), ["matched s", "shadowed s abort", "matched r", "injected r abort"]);
    assert_eq!(proxy.inject(&rules, &Asked::get("/")).unwrap().at, 1);
    assert_eq!(proxy.counted(), ["matched s", "matched r", "injected r abort"]);
}

#[test]
fn what_the_policy_excludes_does_not_match() {
    let rules = snapshot(json!([rule("r", json!({"exclude": [{"method": {"exact": "GET"}}]}))]));
    let mut proxy = Proxy::default();
    assert_eq!(proxy.decide(&rules, &Asked::get("/")), Verdict::Pass);
    assert_eq!(proxy.counted(), [] as [&str; 0]);
    let put = Asked { method: "PUT".into(), ..Asked::get("/") };
    assert!(proxy.inject(&rules, &put).is_some());
}

/// A rule that looks at the response, and changes it after a while.
fn late(name: &str, percentage: f64, mut more: Value) -> Value {
    more["match"] = json!({"response": {"status": {"min": 500}}});
    more["fault"] = json!({"percentage": percentage, "response": {"status": 418}, "start_delay_ms": 5});
    rule(name, more)
}

#[test]
fn a_rule_that_looks_at_the_response_is_asked_when_it_is_there() {
    let always = |name: &str| late(name, 100.0, json!({}));
    let rules = snapshot(json!([always("late"), half("r"), always("late too")]));
    let asked = Asked::get("/");
    // A rule that decides on the request leaves none to wait.
    let mut proxy = Proxy::rolling(&[HIT, MISS, MISS, MISS]);
    assert_eq!(proxy.inject(&rules, &asked).unwrap().at, 1);
    assert_eq!(proxy.counted(), ["matched r", "injected r abort"]);
    assert_eq!(proxy.decide(&rules, &asked), Verdict::Await(vec![0, 2]));
    assert_eq!(proxy.counted(), ["matched r", "skipped r percentage"]);
    assert_eq!(proxy.respond(&rules, &asked, 200), None);
    assert_eq!(proxy.counted(), ["matched r", "skipped r percentage"]);
    let injection = proxy.respond(&rules, &asked, 500).unwrap();
    assert_eq!(
        proxy.counted(),
        ["matched r", "skipped r percentage", "matched late", "injected late response"]
    );
    // It is the response that waits.
    let five = Some(Duration::from_millis(5));
    assert_eq!((injection.at, injection.wait, injection.response_wait), (0, None, five));
}

#[test]
fn the_other_rules_of_deciding_hold_at_the_response_too() {
    let rules = snapshot(json!([
        late("late shadow", 100.0, json!({"mode": "shadow"})),
        late("late ended", 100.0, json!({"ends_at_ms": 10})),
        late("late half", 50.0, json!({})),
        late("late", 100.0, json!({})),
        late("late never asked", 100.0, json!({})),
    ]));
    let mut proxy = Proxy { now_ms: 10, ..Proxy::rolling(&[MISS]) };
    assert_eq!(proxy.respond(&rules, &Asked::get("/"), 599).unwrap().at, 3);
    assert_eq!(
        proxy.counted(),
        [
            "matched late shadow",
            "shadowed late shadow response",
            "skipped late ended expired",
            "matched late half",
            "skipped late half percentage",
            "matched late",
            "injected late response",
        ]
    );
    // A probe is left alone from the start; and a place that is none is no rule.
    let probe = Asked::get("/").with("user-agent", "kube-probe/1.30");
    assert_eq!(proxy.decide(&rules, &probe), Verdict::Pass);
    assert_eq!(decide_response(&rules, &[99], &Asked::get("/"), 500, &mut proxy.desk()), None);
}

#[test]
fn a_part_that_misses_at_the_response_ends_the_search() {
    let mut misses = late("late", 100.0, json!({}));
    misses["fault"]["response"]["percentage"] = json!(0);
    let rules = snapshot(json!([misses, late("late too", 100.0, json!({}))]));
    let mut proxy = Proxy::default();
    assert_eq!(proxy.respond(&rules, &Asked::get("/"), 500), None);
    assert_eq!(proxy.counted(), ["matched late"]);
}

#[test]
fn the_host_is_asked_only_what_is_needed_and_once() {
    let post = json!({"match": {"path": {"prefix": "/a"}, "method": {"exact": "POST"}}});
    let header = |value: &str| json!({"match": {"path": {"prefix": "/a"}, "headers": [{"name": "X-A", "exact": value}]}});
    let rules = snapshot(json!([rule("m", post), rule("a", header("1")), rule("b", header("2"))]));
    let elsewhere = Asked::get("/b");
    Proxy::default().decide(&rules, &elsewhere);
    assert_eq!(*elsewhere.questions.borrow(), [":path"]);
    let there = Asked::get("/a").with("x-a", "2");
    Proxy::default().decide(&rules, &there);
    // The first that does not hold, the second that does: a value is asked for again by each rule.
    assert_eq!(*there.questions.borrow(), [":path", ":method", "x-a", "x-a", "user-agent"]);
}

#[test]
fn the_response_asks_the_host_nothing() {
    let rules = snapshot(json!([late("late", 100.0, json!({}))]));
    let asked = Asked::get("/");
    let mut proxy = Proxy::default();
    let Verdict::Await(awaiting) = proxy.decide(&rules, &asked) else { panic!("it looks at the response") };
    asked.questions.borrow_mut().clear();
    assert!(decide_response(&rules, &awaiting, &asked, 500, &mut proxy.desk()).is_some());
    assert_eq!(*asked.questions.borrow(), [] as [&str; 0]);
}

#[test]
fn header_values_need_not_be_utf8() {
    let any = json!({"match": {"headers": [{"name": "x", "regex": "(?s-u:a.)"}]}});
    let rules = snapshot(json!([rule("r", any)]));
    let asked = Asked::get("/").with("x", b"a\xff");
    assert!(Proxy::default().inject(&rules, &asked).is_some());
}

#[test]
fn reasons_have_names_of_their_own() {
    let names: Vec<_> = Skip::ALL.iter().map(|skip| skip.as_str()).collect();
    assert_eq!(names, ["percentage", "expired", "limit", "times", "stale", "probe"]);
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
