//! What the targets share: requests to ask rules about.

use std::time::Duration;

use hfi_engine::chance::SeededRolls;
use hfi_engine::decide::{Desk, Observer, Skip, Verdict, decide, decide_response};
use hfi_engine::injection::Kind;
use hfi_engine::probe::Probes;
use hfi_engine::request::{Request, RequestView, Text};
use hfi_engine::rule::Rule;
use hfi_engine::rules::Rules;
use hfi_engine::tallies::{Tallies, Tally};

/// A request with one header of every name.
pub struct View {
    /// The whole path, with its query.
    pub path: &'static [u8],
    /// The value of every header.
    pub value: &'static [u8],
}

/// Requests that rules of the seeds match, and others.
pub const VIEWS: [View; 6] = [
    View { path: b"/svc-1/users/12/orders?q=1", value: b"beta" },
    View { path: b"/svc-1/users/12", value: b"1" },
    View { path: b"/a", value: b"" },
    View { path: b"/pkg.Svc/Call", value: b"application/grpc" },
    View { path: b"/", value: b"kube-probe/1.30" },
    View { path: b"", value: b"\xff" },
];
/// Of a response to each of them.
const STATUS: u16 = 503;

impl RequestView for View {
    fn method(&self) -> Text<'_> {
        b"GET".into()
    }

    fn path(&self) -> Text<'_> {
        self.path.into()
    }

    fn any_value(&self, _name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        test(self.value)
    }
}

/// The candidates for every request. They must end, and every rule must be there or not, without a trap.
pub fn ask(rules: &impl Rules) -> Vec<Vec<usize>> {
    let candidates = |view: &View| rules.candidates(&Request::new(view)).collect::<Vec<_>>();
    let asked: Vec<Vec<usize>> = VIEWS.iter().map(candidates).collect();
    // Damaged runs may name the same rules over and over.
    asked.iter().flat_map(|places| places.iter().take(64)).for_each(|at| drop(rules.rule(*at)));
    asked
}

/// What becomes of each request, and of its response: everything that is decided, and everything that is counted. While
/// the rules are `stale` none decides, so every one that matches is there.
pub fn decisions(rules: &impl Rules, stale: bool) -> Vec<String> {
    VIEWS.iter().map(|view| decision(rules, view, stale)).collect()
}

fn decision(rules: &impl Rules, view: &View, stale: bool) -> String {
    let mut seen = Seen::default();
    let mut desk = Desk {
        now_ms: 1_764_000_000_000,
        stale,
        probes: &Probes::new(["/a"]),
        rolls: &mut SeededRolls::new(1),
        tallies: &mut First,
        observer: &mut seen,
    };
    let verdict = decide(rules, view, &mut desk);
    let response = match &verdict {
        Verdict::Await(awaiting) => decide_response(rules, awaiting, view, STATUS, &mut desk),
        _ => None,
    };
    format!("{verdict:?} {response:?} {:?}", seen.0)
}

/// What was counted, by the place of the rule.
#[derive(Default)]
struct Seen(Vec<(usize, String)>);

impl Observer for Seen {
    fn matched(&mut self, at: usize, _rule: &Rule) {
        self.0.push((at, "matched".to_owned()));
    }

    fn skipped(&mut self, at: usize, _rule: &Rule, why: Skip) {
        self.0.push((at, format!("skipped {}", why.as_str())));
    }

    fn injected(&mut self, at: usize, _rule: &Rule, kind: Kind) {
        self.0.push((at, format!("injected {}", kind.name())));
    }

    fn shadowed(&mut self, at: usize, _rule: &Rule, kind: Kind) {
        self.0.push((at, format!("shadowed {}", kind.name())));
    }
}

/// A proxy in which nothing has been counted, and every place is free.
struct First;

impl Tallies for First {
    fn count(&mut self, _rule: &Rule, _tally: Tally) -> Option<u64> {
        Some(0)
    }

    fn admit(&mut self, _rule: &Rule, _hold: Duration) -> bool {
        true
    }
}
