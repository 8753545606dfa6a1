//! What the engine makes of a rule's JSON. Which documents are refused, and where, is in the golden policies.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::rc::Rc;
use std::time::Duration;

use hfi_engine::chance::Chance;
use hfi_engine::fault::abort::{Abort, End};
use hfi_engine::fault::delay::{DelayTime, Phase};
use hfi_engine::matching::{HeaderWant, TextMatch};
use hfi_engine::rule::{Limits, Rule};
use hfi_engine::snapshot::{Parsed, Snapshot};
use serde_json::{Value, json};

fn parse(more: &Value) -> Parsed {
    let mut rule = json!({"policy": "p", "name": "r", "fault": {"abort": {"httpStatus": 503}}});
    for (key, value) in more.as_object().unwrap() {
        rule[key] = value.clone();
    }
    let snapshot = json!({"version": "7", "epoch": "e", "server_time_ms": 5, "rules": [rule]});
    Snapshot::parse(snapshot.to_string().as_bytes()).unwrap()
}

fn rule(more: &Value) -> Rc<Rule> {
    let parsed = parse(more);
    assert_eq!(parsed.left_out, []);
    Rc::clone(&parsed.snapshot.rules[0])
}

fn fault(fault: Value) -> Rc<Rule> {
    rule(&json!({ "fault": fault }))
}

fn delay(delay: Value) -> DelayTime {
    fault(json!({ "delay": delay })).fault.delay.clone().unwrap().time
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn what_an_envelope_does_not_say_is_as_in_the_first_version() {
    let rule = rule(&json!({}));
    assert!(rule.mark);
    assert_eq!((rule.seed, rule.limits, rule.applied_at_ms), (None, Limits::default(), 0));
    assert!(rule.exclude.is_empty());
    assert_eq!((&rule.fault.sticky, rule.fault.times, rule.fault.sequence.len()), (&None, None, 0));
    assert!(rule.matching.response.is_none() && rule.matching.any_of.is_empty());
}

#[test]
fn an_envelope_carries_what_its_policy_says() {
    let rule = rule(&json!({
        "mark": false,
        "seed": 9_007_199_254_740_991_u64,
        "exclude": [{"path": {"prefix": "/admin"}}, {"not": {}}],
        "limits": {"maxActive": 10, "maxPerSecond": 1_000_000},
        "applied_at_ms": 1_764_000_000_000_u64,
    }));
    assert!(!rule.mark);
    assert_eq!(rule.seed, Some((1 << 53) - 1));
    assert_eq!(rule.limits, Limits { max_active: Some(10), max_per_second: Some(1_000_000) });
    assert_eq!(rule.applied_at_ms, 1_764_000_000_000);
    assert_eq!(rule.exclude.len(), 2);
}

#[test]
fn a_match_is_read_however_deep() {
    let matching = &rule(&json!({
        "match": {
            "authority": {"suffix": ".test"},
            "query": [{"name": "Q", "exact": "1"}, {"name": "x", "present": false, "invert": true}],
            "grpc": {"service": "shop.v1.Cart"},
            "attempt": {"min": 2},
            "anyOf": [{"attempt": {"exact": 3}}, {"not": {"attempt": {"max": 4}}}],
            "response": {"status": {"min": 500, "max": 503}},
        },
        "fault": {"response": {"status": 200}},
    }))
    .matching;
    assert!(matches!(&matching.authority, Some(TextMatch::Suffix(text)) if **text == *".test"));
    assert_eq!(*matching.query[0].name, *"Q");
    assert!(matches!(matching.query[1].want, HeaderWant::Present(false)) && matching.query[1].invert);
    let grpc = matching.grpc.as_ref().unwrap();
    assert_eq!((grpc.service.as_deref(), grpc.method.as_deref()), (Some("shop.v1.Cart"), None));
    assert_eq!(matching.attempt, Some(2..=u32::MAX));
    assert_eq!(matching.any_of[0].attempt, Some(3..=3));
    assert_eq!(matching.any_of[1].not.as_ref().unwrap().attempt, Some(1..=4));
    assert_eq!(matching.response, Some(500..=503));
}

#[test]
fn every_distribution() {
    assert_eq!(
        delay(json!({"uniform": {"min": "0s", "max": "1s"}})),
        DelayTime::Uniform { min: ms(0), max: ms(1000) }
    );
    assert_eq!(
        delay(json!({"normal": {"mean": "200ms", "stddev": "50ms", "max": "1s"}})),
        DelayTime::Normal { mean: ms(200), stddev: ms(50), max: ms(1000) }
    );
    assert_eq!(
        delay(json!({"logNormal": {"median": "20ms", "sigma": 1, "max": "1m"}})),
        DelayTime::LogNormal { median: ms(20), sigma: 1.0, max: ms(60_000) }
    );
    assert_eq!(
        delay(json!({"pareto": {"scale": "5ms", "shape": 1.5, "max": "1h"}})),
        DelayTime::Pareto { scale: ms(5), shape: 1.5, max: ms(3_600_000) }
    );
}

#[test]
fn percentiles_are_shares_in_ascending_order() {
    let DelayTime::Percentiles(points) = delay(
        json!({"percentiles": {"p99.9": "2s", "p100": "3s", "p5": "0ms", "p50": "20ms", "p0.125": "0s"}}),
    ) else {
        panic!("no percentiles");
    };
    let wanted = [(0.00125, ms(0)), (0.05, ms(0)), (0.5, ms(20)), (0.999, ms(2000)), (1.0, ms(3000))];
    assert_eq!(*points, wanted);
}

#[test]
fn a_delay_knows_its_phase_and_its_share() {
    let rule = fault(json!({"delay": {"fixedDelay": "1.5s", "phase": "response", "percentage": 50}}));
    let delay = rule.fault.delay.as_ref().unwrap();
    assert_eq!((delay.phase, &delay.time), (Phase::Response, &DelayTime::Fixed(ms(1500))));
    assert_eq!(delay.chance.percentage(), 50.0);
}

#[test]
fn every_way_of_ending_a_request() {
    let end = |abort: Value| fault(json!({ "abort": abort })).fault.abort.clone().unwrap();
    assert_eq!(
        end(json!({"grpcStatus": 14, "grpcMessage": "no", "headers": {"B": "2", "a": "1"}})),
        Abort {
            end: End::Grpc { status: 14, message: Some("no".into()) },
            headers: vec![("B".into(), "2".into()), ("a".into(), "1".into())],
            chance: Chance::ALWAYS,
        }
    );
    assert_eq!(end(json!({"reset": true})).end, End::Reset);
    assert_eq!(
        end(json!({"httpStatus": 599, "body": ""})).end,
        End::Http { status: 599, body: Some("".into()) }
    );
}

#[test]
fn a_sequence_is_aborts_and_none_to_pass() {
    let rule = fault(json!({"sequence": [503, "pass", 200], "times": 7, "sticky": {"header": "X-User"}}));
    let steps: Vec<_> =
        rule.fault.sequence.iter().map(|step| step.as_ref().map(|abort| abort.end.clone())).collect();
    let status = |status| Some(End::Http { status, body: None });
    assert_eq!(steps, [status(503), None, status(200)]);
    assert_eq!((rule.fault.times, rule.fault.sticky.as_deref()), (Some(7), Some("x-user")));
}

#[test]
fn edits_are_kept_in_lower_case() {
    let rule = fault(json!({
        "request": {"headers": {"set": {"Authorization": "X"}, "remove": ["X-Id"]}, "percentage": 1},
        "response": {"status": 200, "headers": {"add": {"Set-Cookie": "a=B"}}, "bandwidth": {"kbps": 64},
                     "truncate": {"bytes": 1_099_511_627_776_u64}},
    }));
    let request = rule.fault.request.as_ref().unwrap();
    assert_eq!(request.headers.set, [("authorization".into(), "X".into())]);
    assert_eq!(request.headers.remove, ["x-id".into()]);
    let response = rule.fault.response.as_ref().unwrap();
    assert_eq!(response.headers.add, [("set-cookie".into(), "a=B".into())]);
    assert_eq!(
        (response.status, response.truncate, response.bandwidth_kbps, &response.body),
        (Some(200), Some(1 << 40), Some(64), &None)
    );
}

#[test]
fn what_somebody_pushed_around_the_api_is_left_out() {
    for bad in [
        json!({"seed": -1}),
        json!({"limits": {}}),
        json!({"mark": null}),
        json!({"exclude": [{"response": {"status": {"exact": 500}}}]}),
        json!({"match": {"response": {"status": {"exact": 500}}}}),
        json!({"fault": {"sequence": ["pass"]}}),
        json!({"applied_at_ms": "now"}),
    ] {
        let parsed = parse(&bad);
        assert_eq!(parsed.snapshot.rules.len(), 0, "{bad}");
        assert_eq!(parsed.left_out.len(), 1, "{bad}");
    }
}
