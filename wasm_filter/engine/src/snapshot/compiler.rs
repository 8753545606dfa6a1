//! From the JSON of a snapshot to its image.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh64::xxh64;

use super::image::Plan;
use super::wire::Wire;
use super::{REGEX_BUDGET, SnapshotError};
use crate::envelope::{LeftOut, compile};
use crate::index::need::of_match;
use crate::index::needs::Needs;
use crate::index::{Tables, hash};

/// Makes images. Remembers of each rule of the last snapshot that it is good, and how it is found, so that an
/// unchanged rule of the next one is not compiled again.
#[derive(Debug, Default)]
pub struct Compiler {
    checked: HashMap<u64, Checked, hash::Build>,
    needs: Needs,
}

/// What is remembered of a good rule. It is known by two digests of its JSON: 128 bits do not collide, and the JSON
/// itself need not be kept.
#[derive(Debug, Clone)]
struct Checked {
    /// The second digest.
    proof: u64,
    ends_at_ms: Option<u64>,
    /// What its patterns take of the budget.
    memory: usize,
    /// Where among the needs it says how the rule is found.
    need: Range<usize>,
}

/// The image of a snapshot, and what is missing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// For [`RuleSet::open`](super::RuleSet::open).
    pub image: Vec<u8>,
    /// The rules that cannot be run.
    pub left_out: Vec<LeftOut>,
}

impl Compiler {
    /// Checks every rule of a snapshot, which is the data of an `update` event, and writes its image.
    ///
    /// # Errors
    ///
    /// When it is not a snapshot at all; then the one before goes on. A bad rule is no error.
    pub fn compile(&mut self, data: &[u8]) -> Result<Compiled, SnapshotError> {
        let wire = Wire::read(data)?;
        let before = std::mem::take(self);
        let mut left_out = Vec::new();
        let mut good = Vec::with_capacity(wire.rules.len());
        let mut budget = REGEX_BUDGET;
        for source in wire.rules.iter().map(|source| source.get()) {
            let (digest, proof) = digests(source);
            let known = before.take_over(digest, proof, budget, &mut self.needs);
            match known.map_or_else(|| check(source, proof, budget, &mut self.needs), Ok) {
                Ok(rule) => {
                    budget = budget.saturating_sub(rule.memory);
                    good.push((source, digest, rule));
                }
                Err((left, spent)) => {
                    budget = budget.saturating_sub(spent);
                    left_out.push(left);
                }
            }
        }
        drop(before);
        let image = write(&wire, &good, &self.needs);
        let image = image.ok_or_else(|| SnapshotError::Unreadable("is too large".to_owned()))?;
        self.checked.reserve(good.len());
        self.checked.extend(good.into_iter().map(|(_, digest, rule)| (digest, rule)));
        Ok(Compiled { image, left_out })
    }

    /// What is known of a rule, unless it would not fit any more.
    fn take_over(&self, digest: u64, proof: u64, budget: usize, needs: &mut Needs) -> Option<Checked> {
        let known = self.checked.get(&digest).filter(|rule| rule.proof == proof && rule.memory <= budget)?;
        Some(Checked { need: needs.take_over(&self.needs, known.need.clone())?, ..*known })
    }
}

fn digests(source: &str) -> (u64, u64) {
    (xxh64(source.as_bytes(), 0), xxh64(source.as_bytes(), 1))
}

/// What is to be remembered of a rule; or why it is left out, and what was spent on it.
fn check(source: &str, proof: u64, budget: usize, needs: &mut Needs) -> Result<Checked, (LeftOut, usize)> {
    let mut left = budget;
    let rule = compile(source, &mut left);
    let memory = budget - left;
    let rule = rule.map_err(|left_out| (left_out, memory))?;
    let need = of_match(&rule.matching, &mut needs.names);
    Ok(Checked { proof, ends_at_ms: rule.ends_at_ms, memory, need: needs.add(need.as_ref()) })
}

fn write(wire: &Wire<'_>, rules: &[(&str, u64, Checked)], needs: &Needs) -> Option<Vec<u8>> {
    let trees: Vec<_> = rules.iter().map(|(_, _, rule)| needs.get(rule.need.clone())).collect();
    let tables = Tables::build(&trees, &needs.names)?;
    drop(trees);
    let plan = Plan {
        version: wire.version,
        server_time_ms: wire.server_time_ms,
        epoch: &wire.epoch,
        rules: rules.iter().map(|(source, digest, rule)| (*source, rule.ends_at_ms, *digest)).collect(),
    };
    plan.write(|section| tables.section(section))
}
