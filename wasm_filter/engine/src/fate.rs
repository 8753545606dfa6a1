//! Rolls that fall alike in every run, and on every proxy: those of sticky rules, and of policies with a seed.
//!
//! All of them come from XXH64, which is written down and does not change with a compiler or a library, as the
//! sequence of a generator might. A rule's key is `XXH64("policy/rule", seed)`, with seed 0 for a policy without
//! one. A request's number is `XXH64(value, key)`, where the value is that of the sticky header, or for a seed alone
//! the count of the matching requests before this one, as eight bytes, the least first.
//!
//! The number modulo a million is the rule's own roll. What comes after it, which are the rolls of parts and what
//! a delay is drawn from, are `XXH64(k, number)` for k = 0, 1, … as eight bytes. So a raised percentage only adds
//! requests, and what happens to those that it hit before stays as it was.

use xxhash_rust::xxh64::{Xxh64, xxh64};

use crate::chance::{MILLION, Rolls};
use crate::rule::Rule;

/// What is left to chance in one request, told by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate(u64);

impl Fate {
    /// Of every request in which the sticky header has this value.
    pub(crate) fn of_value(rule: &Rule, value: &[u8]) -> Fate {
        Fate(xxh64(value, key(rule)))
    }

    /// Of the request that matched after so many others.
    pub(crate) fn of_turn(rule: &Rule, before: u64) -> Fate {
        Fate(xxh64(&before.to_le_bytes(), key(rule)))
    }

    /// The rule's own roll, from 0 to 999,999.
    pub(crate) fn roll(self) -> u32 {
        below_million(self.0)
    }

    /// Everything after that roll.
    pub(crate) fn rolls(self) -> impl Rolls {
        Numbers { of: self.0, taken: 0 }
    }
}

fn key(rule: &Rule) -> u64 {
    let mut key = Xxh64::new(rule.seed.unwrap_or(0));
    for part in [&rule.policy, "/", &rule.name] {
        key.update(part.as_bytes());
    }
    key.digest()
}

struct Numbers {
    of: u64,
    taken: u64,
}

impl Numbers {
    fn next(&mut self) -> u64 {
        let number = xxh64(&self.taken.to_le_bytes(), self.of);
        self.taken = self.taken.wrapping_add(1);
        number
    }
}

impl Rolls for Numbers {
    fn below_million(&mut self) -> u32 {
        below_million(self.next())
    }

    fn uniform(&mut self) -> f64 {
        // The 53 upper bits, which is as many as a float between 0 and 1 can tell apart.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Of 2^64 numbers, a million does not go evenly into: one result is likelier than another by 5 in 10^14.
fn below_million(number: u64) -> u32 {
    // The remainder is below a million.
    (number % u64::from(MILLION)) as u32
}
