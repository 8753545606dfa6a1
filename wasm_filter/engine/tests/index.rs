//! The index against a walk over every rule: nothing that matches is missing, and every decision is the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use common::{Asked, Proxy, rule, snapshot_json};
use hfi_engine::chance::Rolls;
use hfi_engine::request::Request;
use hfi_engine::rules::Rules;
use hfi_engine::snapshot::{Compiler, RuleSet, Snapshot};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// Few parts, so that rules and requests meet.
const SEGMENTS: [&str; 9] = ["a", "ab", "users", "orders", "svc-1", "svc-12", "é", "pkg.Svc", "Call"];
const NAMES: [&str; 12] =
    ["x-a", "x-b", "X-C", "host", ":authority", "x-d", "x-e", "x-f", "x-g", "x-h", "user-agent", ":method"];
const VALUES: [&str; 6] = ["1", "2", "", "shop.example", "GET", "a longer value than any other"];
/// Pieces of patterns, each with texts that it matches.
const PIECES: [(&str, [&str; 2]); 19] = [
    ("/users", ["/users", "/users"]),
    ("/", ["/", "/"]),
    ("orders", ["orders", "orders"]),
    ("/svc-1", ["/svc-1", "/svc-1"]),
    ("[0-9]+", ["1", "2024"]),
    ("[a-z]+", ["a", "users"]),
    (".*", ["", "/ab/orders"]),
    ("(/.*)?", ["", "/x"]),
    ("(a|/ab|/users)", ["a", "/ab"]),
    ("(/a|/ab){1,2}", ["/a", "/ab/a"]),
    ("(?i:/USERS)", ["/users", "/uSERs"]),
    ("(/users)?", ["", "/users"]),
    ("(?:orders){0,2}", ["", "orders"]),
    ("[^/]+", ["é", "x"]),
    ("(?:/a.*|/ab.*)", ["/abc", "/ab"]),
    ("^", ["", ""]),
    (r"\b", ["", ""]),
    (r"\B", ["", ""]),
    ("x?", ["", "x"]),
];

fn path() -> impl Strategy<Value = String> {
    let cut = (vec(select(&SEGMENTS[..]), 0..5), 0_usize..40, any::<bool>());
    cut.prop_map(|(segments, at, slash)| {
        let mut path = format!("/{}", segments.join("/"));
        path.extend(slash.then_some('/'));
        path.chars().take(at.max(1)).collect()
    })
}

/// A pattern, and a text that it matches.
fn pattern() -> impl Strategy<Value = (String, String)> {
    let pieces = vec((select(&PIECES[..]), 0_usize..2), 1..6);
    let joined = pieces.prop_map(|pieces| {
        let pattern: String = pieces.iter().map(|((piece, _), _)| *piece).collect();
        let text: String = pieces.iter().map(|((_, texts), which)| texts[*which]).collect();
        (pattern, text)
    });
    vec(joined, 1..3).prop_map(|branches| {
        let patterns: Vec<&str> = branches.iter().map(|(pattern, _)| &**pattern).collect();
        (patterns.join("|"), branches[branches.len() - 1].1.clone())
    })
}

/// With a path that it holds for.
fn path_match() -> impl Strategy<Value = (Value, String)> {
    prop_oneof![
        path().prop_map(|path| (json!({"exact": path}), path)),
        (path(), path()).prop_map(|(path, more)| (json!({"prefix": path}), format!("{path}{more}"))),
        pattern().prop_map(|(pattern, text)| (json!({"regex": pattern}), text)),
    ]
}

fn way(value: &'static str) -> impl Strategy<Value = (&'static str, Value)> {
    let least = if value.is_empty() { "1" } else { value };
    prop_oneof![
        4 => Just(("exact", json!(value))),
        1 => Just(("prefix", json!(least))),
        1 => Just(("suffix", json!(least))),
        1 => Just(("contains", json!(least))),
        1 => Just(("regex", json!(".*1|shop.*"))),
        1 => any::<bool>().prop_map(|present| ("present", json!(present))),
    ]
}

fn header_match() -> impl Strategy<Value = Value> {
    let parts = (select(&NAMES[..]), select(&VALUES[..]).prop_flat_map(way), any::<bool>(), any::<bool>());
    parts.prop_map(
        |(name, (way, value), one, other)| json!({"name": name, way: value, "invert": one && other}),
    )
}

fn query_match() -> impl Strategy<Value = Value> {
    select(&["q", "r"][..]).prop_map(|name| json!({"name": name, "exact": "1"}))
}

fn grpc_match() -> impl Strategy<Value = Value> {
    let parts = (option::of(Just("pkg.Svc")), option::of(select(&["Call", "C"][..])));
    parts.prop_map(|(service, method)| match (service, method) {
        (Some(service), Some(method)) => json!({"service": service, "method": method}),
        (Some(service), None) => json!({"service": service}),
        (None, Some(method)) => json!({"method": method}),
        (None, None) => json!({}),
    })
}

fn authority_match() -> impl Strategy<Value = Value> {
    select(&[r#"{"exact": "shop.example"}"#, r#"{"suffix": ".example"}"#, r#"{"regex": "shop.*"}"#][..])
        .prop_map(|text| serde_json::from_str(text).unwrap())
}

fn part(members: Vec<(&'static str, Option<Value>)>) -> Value {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A match, and paths that some of its parts hold for.
fn request_match() -> impl Strategy<Value = (Value, Vec<String>)> {
    let headers = vec(header_match(), 1..3).prop_map(Value::from);
    let query = vec(query_match(), 1..2).prop_map(Value::from);
    let leaf = (
        option::weighted(0.7, path_match()),
        option::weighted(0.4, headers),
        option::weighted(0.1, query),
        option::weighted(0.15, grpc_match()),
        option::weighted(0.15, authority_match()),
        option::weighted(0.1, Just(json!({"exact": "GET"}))),
    );
    let leaf = leaf.prop_map(|(path, headers, query, grpc, authority, method)| {
        let (path, text) = path.unzip();
        let parts = [("path", path), ("headers", headers), ("query", query), ("grpc", grpc)];
        let parts = parts.into_iter().chain([("authority", authority), ("method", method)]);
        (part(parts.collect()), text.into_iter().collect::<Vec<_>>())
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        let any_of = option::weighted(0.6, vec(inner.clone(), 1..4));
        let parts = (inner.clone(), any_of, option::weighted(0.2, inner));
        parts.prop_map(|((mut outer, mut paths), any_of, not)| {
            let members = outer.as_object_mut().unwrap();
            if let Some(branches) = any_of {
                let (matches, more): (Vec<Value>, Vec<Vec<String>>) = branches.into_iter().unzip();
                members.insert("anyOf".to_owned(), matches.into());
                paths.extend(more.concat());
            }
            members.extend(not.map(|(not, _)| ("not".to_owned(), not)));
            (outer, paths)
        })
    })
}

/// A rule, and paths that it may match.
fn rule_parts() -> impl Strategy<Value = (Value, Vec<String>)> {
    let exclude = vec(request_match().prop_map(|(excluded, _)| excluded), 1..3).prop_map(Value::from);
    let parts = (
        request_match(),
        option::weighted(0.2, exclude),
        option::weighted(0.2, Just(json!("shadow"))),
        option::weighted(0.2, Just(json!(1000))),
        prop_oneof![Just(100), Just(50), Just(5)],
    );
    parts.prop_map(|((matching, paths), exclude, mode, ends_at_ms, percentage)| {
        let fault = json!({"abort": {"httpStatus": 503}, "percentage": percentage});
        let rest = [("exclude", exclude), ("mode", mode), ("ends_at_ms", ends_at_ms), ("fault", Some(fault))];
        (part([("match", Some(matching))].into_iter().chain(rest).collect()), paths)
    })
}

fn documents(rules: Vec<Value>) -> Value {
    rules.into_iter().enumerate().map(|(at, more)| rule(&format!("r{at}"), more)).collect()
}

/// Rules, and requests to most of which some rule's path answers.
fn world(rules: usize) -> impl Strategy<Value = (Vec<Value>, Vec<Asked>)> {
    (vec(rule_parts(), 0..rules), vec((request(), any::<prop::sample::Index>()), 1..12)).prop_map(
        |(rules, asked)| {
            let (rules, paths): (Vec<Value>, Vec<Vec<String>>) = rules.into_iter().unzip();
            let paths = paths.concat();
            let aimed = |(mut asked, at): (Asked, prop::sample::Index)| {
                if !paths.is_empty() && !asked.path.contains('#') {
                    let query = asked.path.split_once('?').map_or("", |(_, query)| query);
                    asked.path = format!("{}?{query}", at.get(&paths));
                }
                asked
            };
            let asked = asked.into_iter().map(aimed).collect();
            (rules, asked)
        },
    )
}

fn request() -> impl Strategy<Value = Asked> {
    let fixed = select(&["", "*", "/pkg.Svc/Call", "/users/12/orders", "/svc-1/USERS/a"][..]);
    let paths = prop_oneof![path(), fixed.prop_map(str::to_owned)];
    let header =
        (select(&NAMES[..]), select(&VALUES[..])).prop_filter("no pseudo", |(name, _)| *name != ":method");
    let parts = (
        paths,
        select(&["", "?q=1", "#f", "?r=1&q=2"][..]),
        vec(header, 0..4),
        any::<bool>(),
        select(&["GET", "POST"][..]),
        option::of(select(&["Shop.EXAMPLE", "shop.example", "other"][..])),
    );
    parts.prop_map(|(path, query, headers, grpc, method, authority)| {
        let mut asked = Asked { method: method.into(), ..Asked::get(&format!("{path}{query}")) };
        for (name, value) in headers {
            asked = asked.with(name, value);
        }
        if grpc {
            asked = asked.with("content-type", "application/grpc");
        }
        if let Some(authority) = authority {
            asked = asked.with(":authority", authority);
        }
        asked
    })
}

/// Rolls that come out alike for both.
struct Alike(u32);

impl Rolls for Alike {
    fn below_million(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % 1_000_000
    }

    fn uniform(&mut self) -> f64 {
        f64::from(self.below_million()) / 1e6
    }
}

/// The rules as a list, and as a set that took half of them over from one before.
fn both(rules: &Value) -> (Snapshot, RuleSet) {
    let data = snapshot_json(rules);
    let plain = Snapshot::parse(&data).unwrap();
    let known: Vec<Value> = rules.as_array().unwrap().iter().step_by(2).rev().cloned().collect();
    let mut compiler = Compiler::default();
    let before = compiler.compile(&snapshot_json(&known.into())).unwrap();
    let before = RuleSet::open(before.image, None).unwrap();
    assert!((0..before.len()).all(|at| before.rule(at).is_some()));
    let compiled = compiler.compile(&data).unwrap();
    assert_eq!(compiled.left_out, plain.left_out);
    let set = RuleSet::open(compiled.image, Some(&before)).unwrap();
    assert_eq!(set.len(), plain.snapshot.rules.len());
    (plain.snapshot, set)
}

/// Which rules match. For that they must all be shadows: no decision ends the search.
fn matching(rules: &impl Rules, asked: &Asked) -> Vec<String> {
    let mut proxy = Proxy::with(Alike(1));
    proxy.decide(rules, asked);
    proxy.counted().into_iter().filter_map(|what| Some(what.strip_prefix("matched ")?.to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_that_matches_is_a_candidate(
        (rules, requests) in world(30),
    ) {
        let shadows = rules.into_iter().map(|mut rule| {
            let members = rule.as_object_mut().unwrap();
            members.insert("mode".into(), json!("shadow"));
            members.insert("includeProbes".into(), json!(true));
            members.remove("ends_at_ms");
            rule
        });
        let (plain, set) = both(&documents(shadows.collect()));
        for asked in &requests {
            let candidates: Vec<usize> = set.candidates(&Request::new(asked)).collect();
            prop_assert!(candidates.is_sorted_by(|one, other| one < other), "{candidates:?}");
            prop_assert!(candidates.last().is_none_or(|last| *last < set.len()));
            prop_assert_eq!(matching(&set, asked), matching(&plain, asked));
        }
    }

    #[test]
    fn every_decision_is_the_same(
        (rules, requests) in world(30),
        seed in any::<u32>(),
        now_ms in select(&[999_u64, 1000][..]),
        stale in proptest::bool::weighted(0.1),
    ) {
        let (plain, set) = both(&documents(rules));
        let mut one = Proxy { now_ms, stale, ..Proxy::with(Alike(seed)) };
        let mut other = Proxy { now_ms, stale, ..Proxy::with(Alike(seed)) };
        for asked in &requests {
            prop_assert_eq!(one.decide(&set, asked), other.decide(&plain, asked));
            prop_assert_eq!(one.counted(), other.counted());
        }
    }

    #[test]
    fn a_damaged_image_traps_nothing(
        (rules, requests) in world(12),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        whole in any::<bool>(),
        early in any::<bool>(),
    ) {
        let mut image = Compiler::default().compile(&snapshot_json(&documents(rules))).unwrap().image;
        for (at, byte) in flips {
            // The header and the tables are where damage is interesting, and they are the smaller part.
            let reach = if early { image.len().min(400) } else { image.len() };
            let at = at.index(reach);
            image[at] = byte;
        }
        if !whole {
            image.truncate(end.index(image.len()));
        }
        let Some(set) = RuleSet::open(image, None) else { return Ok(()) };
        let _ = (set.version(), set.epoch(), set.server_time_ms(), set.timed(), set.is_empty());
        let mut proxy = Proxy::with(Alike(7));
        for asked in &requests {
            proxy.decide(&set, asked);
        }
    }
}

/// What a request is asked for before any rule matches, and how many rules are looked at.
fn asked_for(rules: &Value, asked: Asked) -> (Vec<String>, usize) {
    let (_, set) = both(rules);
    let candidates = set.candidates(&Request::new(&asked)).count();
    (asked.questions.into_inner(), candidates)
}

#[test]
fn a_request_is_asked_for_its_path_alone() {
    let rules = (0..300).map(|at| {
        let path = match at % 3 {
            0 => json!({"exact": format!("/svc-{at}/users")}),
            1 => json!({"prefix": format!("/svc-{at}/")}),
            _ => json!({"regex": format!("/svc-{at}/users/[0-9]+(/.*)?")}),
        };
        json!({"match": {"path": path, "headers": [{"name": "x-user", "exact": "beta"}]}})
    });
    let rules = documents(rules.collect());
    assert_eq!(asked_for(&rules, Asked::get("/other/place")), (vec![":path".to_owned()], 0));
    assert_eq!(asked_for(&rules, Asked::get("/svc-299/users/7")).1, 1);
    assert_eq!(asked_for(&rules, Asked::get("/svc-298/x")).1, 1);
    assert_eq!(asked_for(&rules, Asked::get("/svc-297/users?q")).1, 1);
}

#[test]
fn rules_are_told_apart_by_what_few_of_them_share() {
    // All begin alike; the rest tells them apart.
    let patterns =
        (0..100).map(|at| json!({"match": {"path": {"regex": format!("/v1/[a-z]+/thing-{at}/.*")}}}));
    let rules = documents(patterns.collect());
    let (_, candidates) = asked_for(&rules, Asked::get("/v1/x/thing-42/y"));
    assert!((1..=12).contains(&candidates), "{candidates}");
    assert_eq!(asked_for(&rules, Asked::get("/v1/x/other/y")).1, 0);
    // Every request is below this prefix, so it is the header that counts.
    let users = (0..100).map(|at| {
        json!({"match": {"path": {"prefix": "/api/"}, "headers": [{"name": "x-user", "exact": format!("u{at}")}]}})
    });
    let rules = documents(users.collect());
    let (questions, candidates) = asked_for(&rules, Asked::get("/api/a").with("x-user", "u42"));
    assert_eq!((questions, candidates), (vec!["x-user".to_owned()], 1));
}

#[test]
fn few_headers_are_asked_for_however_many_there_are() {
    let headers =
        (0..100).map(|at| json!({"match": {"headers": [{"name": format!("x-{at}"), "exact": "1"}]}}));
    let (questions, candidates) = asked_for(&documents(headers.collect()), Asked::get("/"));
    assert_eq!((questions.len(), candidates), (8, 92));
}

#[test]
fn a_long_path_of_one_part_is_no_burden() {
    let patterns = (0..50).map(|_| json!({"match": {"path": {"regex": ".*aaaa.*"}}}));
    let (_, candidates) =
        asked_for(&documents(patterns.collect()), Asked::get(&"/aaaaaaaaaaaaaaa".repeat(4000)));
    assert_eq!(candidates, 50);
}
