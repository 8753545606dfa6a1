//! One compiled rule, with what it needs to know of its policy.

use serde_json::Value;

use crate::fault::Fault;
use crate::matching::{self, Match, Mismatch};
use crate::pattern::Pattern;
use crate::problem::At;
use crate::reading::{Reading, or_default};
use crate::request::{Request, RequestView};

/// What every reader of JSON keeps exactly (RFC 8259, section 6).
const MAX_SEED: i64 = (1 << 53) - 1;
const MAX_LIMIT: i64 = 1_000_000;
const MAX_EXCLUDED: usize = 32;

/// Whether a rule's faults are real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Enforce,
    /// Match, roll and count, but inject nothing.
    Shadow,
}

impl Mode {
    /// As in a document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
        }
    }
}

/// What the faults of one policy may do to one proxy. Beyond it, requests pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// So many at once that hold a request or a response back.
    pub max_active: Option<u32>,
    /// So many in a second.
    pub max_per_second: Option<u32>,
}

/// A rule, ready to run.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The name of its policy.
    pub policy: Box<str>,
    /// Its name within the policy.
    pub name: Box<str>,
    /// Whether its faults are real.
    pub mode: Mode,
    /// Whether it applies to probes too.
    pub include_probes: bool,
    /// Whether what it injects says so.
    pub mark: bool,
    /// For rolls that fall alike in every run.
    pub seed: Option<u64>,
    /// What the faults of its policy may do to one proxy.
    pub limits: Limits,
    /// When its policy was applied, in Unix milliseconds: counts begin anew with it. 0 where nothing counts.
    pub applied_at_ms: u64,
    /// When it ends, in Unix milliseconds of the server's clock; `None` for no end.
    pub ends_at_ms: Option<u64>,
    /// Which requests it is for.
    pub matching: Match,
    /// Which it is not for, even so.
    pub exclude: Vec<Match>,
    /// What it does to them.
    pub fault: Fault,
    /// The JSON it was compiled from: an unchanged rule of the next snapshot is taken over as it is.
    pub(crate) source: Box<str>,
}

impl Rule {
    /// Why the request does not match; `None` when it does. What it says of the response is not looked at.
    pub(crate) fn mismatch<V: RequestView>(&self, request: &Request<'_, V>) -> Option<Mismatch<'_>> {
        let excluded = || self.exclude.iter().any(|excluded| excluded.mismatch(request).is_none());
        self.matching.mismatch(request).or_else(|| excluded().then_some(Mismatch::Excluded))
    }

    /// Whether the rule's end has come.
    #[must_use]
    pub fn ended(&self, now_ms: u64) -> bool {
        self.ends_at_ms.is_some_and(|end| now_ms >= end)
    }

    /// What its compiled patterns take, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let matches = std::iter::once(&self.matching).chain(&self.exclude);
        matches.flat_map(Match::patterns).map(Pattern::memory).sum()
    }
}

/// Reads `mode`.
pub(crate) fn mode(value: &Value, at: &At, reading: &mut Reading) -> Option<Mode> {
    match value.as_str() {
        Some("enforce") => Some(Mode::Enforce),
        Some("shadow") => Some(Mode::Shadow),
        _ => {
            reading.problem(at, "must be enforce or shadow");
            None
        }
    }
}

/// Reads `limits`.
pub(crate) fn limits(value: &Value, at: &At, reading: &mut Reading) -> Option<Limits> {
    let members = reading.object(value, at, &["maxActive", "maxPerSecond"])?;
    let limit = |key: &'static str, reading: &mut Reading| {
        or_default(members.optional(key), None, |value| {
            let limit = reading.whole(value, &at.key(key), 1..=MAX_LIMIT)?;
            u32::try_from(limit).ok().map(Some)
        })
    };
    let (max_active, max_per_second) = (limit("maxActive", reading), limit("maxPerSecond", reading));
    let given = |key| members.optional(key).is_some();
    let something = given("maxActive") || given("maxPerSecond") || members.strange;
    reading.check(something, at, "needs maxActive, maxPerSecond, or both")?;
    let read = Limits { max_active: max_active?, max_per_second: max_per_second? };
    (!members.strange).then_some(read)
}

/// Reads `seed`.
pub(crate) fn seed(value: &Value, at: &At, reading: &mut Reading) -> Option<u64> {
    reading.whole(value, at, 0..=MAX_SEED).map(i64::unsigned_abs)
}

/// Reads `exclude`.
pub(crate) fn exclude(value: &Value, at: &At, reading: &mut Reading) -> Option<Vec<Match>> {
    matching::list(value, at, MAX_EXCLUDED, reading)
}

/// Two rules are one when they were compiled from the same text.
impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.source == other.source
    }
}
