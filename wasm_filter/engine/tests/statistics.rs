//! Whether percentages are what a policy says, by exact binomial bounds. Seeds are fixed, so that nothing here
//! fails by chance; a right engine would fail with one seed in a million, and one whose percentages are a tenth too
//! large or too small with nearly all of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::yardsticks::{ALPHA, Z, assert_binomial, binomial_tails, chi_square_bound, normal_cdf};
use common::{Asked, Proxy, rule, snapshot, status};
use hfi_engine::chance::{Chance, SeededRolls};
use hfi_engine::decide::{Desk, Observer, Skip, Verdict, decide};
use hfi_engine::injection::Kind;
use hfi_engine::rule::Rule;
use hfi_engine::snapshot::Snapshot;
use serde_json::json;

#[test]
fn the_yardsticks_are_right() {
    // Of a binomial distribution's textbook values: 3 of 10 at one half.
    let (at_most, at_least) = binomial_tails(3, 10, 0.5);
    assert!((at_most - 176.0 / 1024.0).abs() < 1e-9 && (at_least - 968.0 / 1024.0).abs() < 1e-9);
    assert!((normal_cdf(1.959_963_985) - 0.975).abs() < 1e-7 && (normal_cdf(-Z) - ALPHA).abs() < 1e-9);
    // For 30 degrees of freedom it is 82.04; the approximation is a little lenient.
    assert!((82.04..82.9).contains(&chi_square_bound(30)), "{}", chi_square_bound(30));
}

/// Nobody looks: there are millions of decisions here.
struct Nobody;

impl Observer for Nobody {
    fn matched(&mut self, _at: usize, _rule: &Rule) {}
    fn skipped(&mut self, _at: usize, _rule: &Rule, _why: Skip) {}
    fn injected(&mut self, _at: usize, _rule: &Rule, _kind: Kind) {}
    fn shadowed(&mut self, _at: usize, _rule: &Rule, _kind: Kind) {}
}

/// Into how many of so many requests, each of another user, something is injected.
fn hits(rules: &Snapshot, rolls: u64, rounds: usize) -> usize {
    let mut proxy = Proxy::with(SeededRolls::new(rolls));
    let mut hit = |round: &usize| {
        let Desk { now_ms, stale, probes, rolls, tallies, .. } = proxy.desk();
        let mut desk = Desk { now_ms, stale, probes, rolls, tallies, observer: &mut Nobody };
        matches!(decide(rules, &user(*round), &mut desk), Verdict::Inject(_))
    };
    (0..rounds).filter(|round| hit(round)).count()
}

/// Where a rule's rolls come from.
#[derive(Debug, Clone, Copy)]
enum By {
    Chance,
    Value,
    Seed(u64),
}

/// One rule, with that percentage, and that of its only part.
fn percent(percentage: f64, part: f64, by: By) -> Snapshot {
    let abort = json!({"httpStatus": 503, "percentage": part});
    let mut one = rule("r", json!({"fault": {"percentage": percentage, "abort": abort}}));
    match by {
        By::Chance => {}
        By::Value => one["fault"]["sticky"] = json!({"header": "x-user"}),
        By::Seed(seed) => one["seed"] = json!(seed),
    }
    snapshot(json!([one]))
}

fn user(number: usize) -> Asked {
    Asked::get("/").with("x-user", format!("user-{number}"))
}

const PERCENTAGES: [f64; 6] = [2.5, 12.5, 33.3333, 50.0, 90.0, 99.99];

/// So many requests that a percentage which is a tenth too large or too small would be seen, nearly always.
fn rounds(probability: f64) -> usize {
    let sees = |rounds: &usize| {
        let n = *rounds as f64;
        [0.9 * probability, 1.1 * probability].into_iter().filter(|wrong| *wrong < 1.0).all(|wrong| {
            // Of the wrong one, what looks most like the right one, but for one run in a thousand.
            let stray = 3.1 * (n * wrong * (1.0 - wrong)).sqrt();
            let hits = if wrong < probability { n * wrong + stray } else { n * wrong - stray };
            let (at_most, at_least) = binomial_tails(hits as usize, *rounds, probability);
            at_most.min(at_least) < ALPHA / 2.0
        })
    };
    (10..).map(|doubled| 1_usize << doubled).find(sees).unwrap()
}

fn assert_percentage(percentage: f64, by: By, seed: u64) {
    let rounds = rounds(percentage / 100.0);
    let found = hits(&percent(percentage, 100.0, by), seed, rounds);
    assert_binomial(found, rounds, percentage / 100.0, &format!("{by:?}"));
}

#[test]
fn percentages_hold_by_chance() {
    PERCENTAGES
        .into_iter()
        .zip(1..)
        .for_each(|(percentage, seed)| assert_percentage(percentage, By::Chance, seed));
}

#[test]
fn percentages_hold_over_sticky_values() {
    PERCENTAGES.into_iter().for_each(|percentage| assert_percentage(percentage, By::Value, 0));
}

#[test]
fn percentages_hold_over_seeded_runs() {
    PERCENTAGES
        .into_iter()
        .zip(1..)
        .for_each(|(percentage, seed)| assert_percentage(percentage, By::Seed(seed), 0));
}

#[test]
fn small_percentages_hold() {
    // It takes millions of requests to tell them: without the requests, then.
    for (percentage, seed) in [(0.02, 1), (0.5, 2)] {
        let (rounds, chance) = (rounds(percentage / 100.0), Chance::from_percentage(percentage).unwrap());
        let mut rolls = SeededRolls::new(seed);
        let hits = (0..rounds).filter(|_| chance.fires(&mut rolls)).count();
        assert_binomial(hits, rounds, percentage / 100.0, "small");
    }
}

#[test]
fn parts_hold_their_percentages() {
    let headers = json!({"set": {"x-new": "1"}});
    let parts = [
        ("delay", json!({"fixedDelay": "1ms"})),
        ("abort", json!({"httpStatus": 503})),
        ("request", json!({"headers": headers})),
        ("response", json!({"headers": headers})),
    ];
    let rounds = rounds(0.3);
    for (seed, (part, mut what)) in (1..).zip(parts) {
        what["percentage"] = json!(30);
        let rules = snapshot(json!([rule("r", json!({"fault": {part: what}}))]));
        assert_binomial(hits(&rules, seed, rounds), rounds, 0.3, part);
    }
}

#[test]
fn sticky_rules_of_one_policy_fall_apart() {
    // Two rules at a half that fell alike would hit a half of all values together, and not a quarter.
    let fault = json!({"percentage": 50, "sticky": {"header": "x-user"}, "abort": {"httpStatus": 503}});
    let rules = ["a", "b"].map(|name| snapshot(json!([rule(name, json!({"fault": fault}))])));
    let rounds = 20_000;
    let both =
        |number: &usize| rules.iter().all(|rules| Proxy::default().inject(rules, &user(*number)).is_some());
    let hits = (0..rounds).filter(both).count();
    assert_binomial(hits, rounds, 0.25, "both");
}

#[test]
fn a_part_rolls_apart_from_its_rule() {
    // One number for both rolls would hit in a half, and not in a quarter.
    for by in [By::Chance, By::Value, By::Seed(1)] {
        let found = hits(&percent(50.0, 50.0, by), 1, 20_000);
        assert_binomial(found, 20_000, 0.25, "part of a rule");
    }
}

#[test]
fn sequences_and_times_are_exact() {
    let fault = json!({"sequence": [503, 503, "pass"], "times": 20_000});
    let rules = snapshot(json!([rule("r", json!({"fault": fault}))]));
    let mut proxy = Proxy::default();
    let answers: Vec<_> = (0..30_000).map(|_| status(proxy.inject(&rules, &Asked::get("/")))).collect();
    let wanted = |at: usize| (at < 20_000 && at % 3 != 2).then_some(503);
    assert!(answers.iter().enumerate().all(|(at, answer)| *answer == wanted(at)));
}
