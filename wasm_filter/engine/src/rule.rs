//! One compiled rule, with what it needs to know of its policy.

use serde_json::Value;

use crate::fault::Fault;
use crate::matching::Match;
use crate::pattern::Pattern;
use crate::problem::At;
use crate::reading::Reading;

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
    /// When it ends, in Unix milliseconds of the server's clock; `None` for no end.
    pub ends_at_ms: Option<u64>,
    /// Which requests it is for.
    pub matching: Match,
    /// What it does to them.
    pub fault: Fault,
    /// The JSON it was compiled from: an unchanged rule of the next snapshot is taken over as it is.
    pub(crate) source: Box<str>,
}

impl Rule {
    /// Whether the rule's end has come.
    #[must_use]
    pub fn ended(&self, now_ms: u64) -> bool {
        self.ends_at_ms.is_some_and(|end| now_ms >= end)
    }

    /// What its compiled patterns take, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.matching.patterns().map(Pattern::memory).sum()
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
