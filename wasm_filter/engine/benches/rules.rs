//! What rules cost: to compile them, to take them over, and for requests that match one or none.
//!
//! `cargo bench -p hfi-engine`. A third of the rules each names a path, its beginning, or a pattern; half have a
//! header as well.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hfi_engine::chance::Rolls;
use hfi_engine::decide::{Desk, Observer, Skip, Verdict, decide};
use hfi_engine::injection::Kind;
use hfi_engine::pattern::Pattern;
use hfi_engine::probe::Probes;
use hfi_engine::request::{RequestView, Text};
use hfi_engine::rule::Rule;
use hfi_engine::rules::Rules;
use hfi_engine::snapshot::{Compiler, RuleSet, Snapshot};
use hfi_engine::tallies::{Tallies, Tally};
use serde_json::{Value, json};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// The rule of that number; `round` makes another of the same kind.
fn rule(at: usize, round: usize) -> Value {
    let path = match at % 3 {
        0 => json!({"exact": format!("/svc-{at}/users/profile")}),
        1 => json!({"prefix": format!("/svc-{at}/users/")}),
        _ => json!({"regex": format!("/svc-{at}/users/[0-9]+/orders(/.*)?")}),
    };
    let mut matching = json!({"path": path});
    if at.is_multiple_of(2) {
        matching["headers"] = json!([{"name": "x-user-group", "exact": format!("beta-{round}")}]);
    }
    json!({
        "policy": format!("policy-{}", at / 10), "name": format!("rule-{at}"), "mode": "enforce",
        "includeProbes": false, "ends_at_ms": 1_764_000_600_000_u64, "match": matching,
        "fault": {"abort": {"httpStatus": 503}, "delay": {"fixedDelay": "250ms"}, "percentage": 50},
    })
}

fn snapshot(rules: usize, round: usize) -> Vec<u8> {
    let rules: Vec<Value> = (0..rules).map(|at| rule(at, round)).collect();
    let data = json!({"version": "7", "epoch": "e", "server_time_ms": 1_764_000_000_000_u64, "rules": rules});
    data.to_string().into_bytes()
}

fn opened(data: &[u8]) -> RuleSet {
    RuleSet::open(Compiler::default().compile(data).unwrap().image, None).unwrap()
}

struct View(&'static str);

impl RequestView for View {
    fn method(&self) -> Text<'_> {
        b"GET".into()
    }

    fn path(&self) -> Text<'_> {
        self.0.as_bytes().into()
    }

    fn any_value(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        name == "x-user-group" && test(b"beta-0")
    }
}

/// Nothing is counted, and every roll hits.
struct Idle;

impl Observer for Idle {
    fn matched(&mut self, _at: usize, _rule: &Rule) {}
    fn skipped(&mut self, _at: usize, _rule: &Rule, _why: Skip) {}
    fn injected(&mut self, _at: usize, _rule: &Rule, _kind: Kind) {}
    fn shadowed(&mut self, _at: usize, _rule: &Rule, _kind: Kind) {}
}

impl Rolls for Idle {
    fn below_million(&mut self) -> u32 {
        0
    }

    fn uniform(&mut self) -> f64 {
        0.5
    }
}

impl Tallies for Idle {
    fn count(&mut self, _rule: &Rule, _tally: Tally) -> Option<u64> {
        Some(0)
    }

    fn admit(&mut self, _rule: &Rule, _hold: Duration) -> bool {
        true
    }
}

fn ask(rules: &impl Rules, probes: &Probes, path: &'static str) -> Verdict {
    let (mut rolls, mut tallies, mut observer) = (Idle, Idle, Idle);
    let mut desk = Desk {
        now_ms: 1,
        stale: false,
        probes,
        rolls: &mut rolls,
        tallies: &mut tallies,
        observer: &mut observer,
    };
    decide(rules, &View(path), &mut desk)
}

fn deciding(bench: &mut Criterion) {
    let probes = Probes::default();
    let mut group = bench.benchmark_group("decide");
    for size in SIZES {
        let data = snapshot(size, 0);
        let set = opened(&data);
        let requests = [
            ("miss", "/another/service/with/a/path/of/usual/length?and=a&query"),
            ("near miss", "/svc-3/users/profiles"),
            ("exact", "/svc-0/users/profile?a=1"),
            ("prefix", "/svc-1/users/and/more"),
            ("regex", "/svc-2/users/12345/orders/6789"),
        ];
        for (what, path) in requests {
            let hit = matches!(ask(&set, &probes, path), Verdict::Inject(_));
            assert_eq!(hit, !what.contains("miss"), "{what}");
            group.bench_function(BenchmarkId::new(what, size), |bench| {
                bench.iter(|| ask(&set, &probes, black_box(path)));
            });
        }
        let plain = Snapshot::parse(&data).unwrap().snapshot;
        group.bench_function(BenchmarkId::new("miss, every rule in order", size), |bench| {
            bench.iter(|| ask(&plain, &probes, black_box("/another/service")));
        });
    }
}

fn compiling(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("compile");
    group.sample_size(10);
    for size in SIZES {
        let (data, other) = (snapshot(size, 0), snapshot(size, 1));
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("anew", size), |bench| {
            bench.iter(|| Compiler::default().compile(&data).unwrap());
        });
        group.bench_function(BenchmarkId::new("half of them changed", size), |bench| {
            let mut compiler = Compiler::default();
            compiler.compile(&data).unwrap();
            let mut turn = false;
            bench.iter(|| {
                turn = !turn;
                compiler.compile(if turn { &other } else { &data }).unwrap()
            });
        });
        group.bench_function(BenchmarkId::new("unchanged", size), |bench| {
            let mut compiler = Compiler::default();
            compiler.compile(&data).unwrap();
            bench.iter(|| compiler.compile(&data).unwrap());
        });
    }
}

fn taking_over(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("take over");
    for size in SIZES {
        let image = Compiler::default().compile(&snapshot(size, 0)).unwrap().image;
        let before = RuleSet::open(image.clone(), None).unwrap();
        // All of them are compiled: the most that there can be to take over.
        assert!((0..size).all(|at| before.rule(at).is_some()));
        group.bench_function(BenchmarkId::new("open", size), |bench| {
            bench.iter_batched(
                || image.clone(),
                |image| RuleSet::open(image, Some(&before)).unwrap(),
                BatchSize::LargeInput,
            );
        });
        let next = RuleSet::open(image.clone(), Some(&before)).unwrap();
        let mut at = 0;
        group.bench_function(BenchmarkId::new("one rule of the set before", size), |bench| {
            bench.iter(|| {
                at = (at + 1) % size;
                next.rule(at)
            });
        });
    }
    let image = Compiler::default().compile(&snapshot(10_000, 0)).unwrap().image;
    let mut fresh = (RuleSet::open(image.clone(), None).unwrap(), 0);
    group.bench_function("one rule, first needed", |bench| {
        bench.iter(|| {
            if fresh.1 == 10_000 {
                fresh = (RuleSet::open(image.clone(), None).unwrap(), 0);
            }
            fresh.1 += 1;
            fresh.0.rule(fresh.1 - 1)
        });
    });
}

fn patterns(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("pattern");
    let sources: Vec<String> = (0..3_333).map(|at| format!("/svc-{at}/users/[0-9]+/orders(/.*)?")).collect();
    group.sample_size(10);
    group.throughput(Throughput::Elements(3_333));
    group.bench_function("check 3,333", |bench| {
        bench.iter(|| sources.iter().map(|source| Pattern::whole(source).unwrap().memory()).sum::<usize>());
    });
    group.throughput(Throughput::Elements(1));
    let pattern = Pattern::whole("/svc-7/users/[0-9]+/orders(/.*)?").unwrap();
    for text in
        ["/svc-7/users/12345/orders/abc/def", "/svc-7/users/12345/address", "/svc-8/users/12345/orders"]
    {
        group.bench_function(BenchmarkId::new("match", text), |bench| {
            bench.iter(|| pattern.matches_whole(black_box(text.as_bytes())));
        });
    }
}

criterion_group!(benches, deciding, compiling, taking_over, patterns);
criterion_main!(benches);
