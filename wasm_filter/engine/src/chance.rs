//! How often: percentages as exact parts per million, and the rolls they are compared with.

/// A percentage with up to four decimals, held as parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chance(u32);

pub(crate) const MILLION: u32 = 1_000_000;

impl Chance {
    /// 0 %: never, whatever is rolled.
    pub const NEVER: Chance = Chance(0);
    /// 100 %: always, whatever is rolled.
    pub const ALWAYS: Chance = Chance(MILLION);

    /// The chance of a percentage from 0 to 100; `None` outside of that, or with more than four decimals.
    #[must_use]
    pub fn from_percentage(percentage: f64) -> Option<Chance> {
        if !(0.0..=100.0).contains(&percentage) {
            return None;
        }
        let parts = percentage * 10_000.0;
        // A decimal such as 33.3333 has no exact binary form; the tolerance is far below one part.
        let whole = parts.round();
        // The range check above keeps the cast exact.
        ((parts - whole).abs() < 1e-6).then_some(Chance(whole as u32))
    }

    /// From 0 to 100.
    #[must_use]
    pub fn percentage(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// From 0 to 1.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.0) / f64::from(MILLION)
    }

    /// Whether it is 100 %.
    #[must_use]
    pub fn is_certain(self) -> bool {
        self == Chance::ALWAYS
    }

    /// Whether a roll from 0 to 999,999 makes it happen. What a roll makes happen at some percentage, it makes
    /// happen at every higher one.
    #[must_use]
    pub fn covers(self, roll: u32) -> bool {
        roll < self.0
    }

    /// Rolls once and says whether it happens. 0 and 100 are exact: nothing is rolled for them.
    pub fn fires(self, rolls: &mut impl Rolls) -> bool {
        if self.is_open() { self.covers(rolls.below_million()) } else { self == Chance::ALWAYS }
    }

    /// Whether it takes a roll to know: it is neither 0 nor 100 %.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Chance::NEVER && self != Chance::ALWAYS
    }
}

/// Where rolls come from.
pub trait Rolls {
    /// A uniformly distributed number from 0 to 999,999.
    fn below_million(&mut self) -> u32;

    /// A uniformly distributed number from 0 up to, and without, 1.
    fn uniform(&mut self) -> f64;
}

/// Rolls of a seeded generator: one seed always gives one sequence. Not for cryptography.
#[derive(Debug, Clone)]
pub struct SeededRolls(fastrand::Rng);

impl SeededRolls {
    /// Rolls from `seed`; VMs that are to roll independently need seeds of their own.
    #[must_use]
    pub fn new(seed: u64) -> SeededRolls {
        SeededRolls(fastrand::Rng::with_seed(seed))
    }
}

impl Rolls for SeededRolls {
    fn below_million(&mut self) -> u32 {
        self.0.u32(0..MILLION)
    }

    fn uniform(&mut self) -> f64 {
        self.0.f64()
    }
}
