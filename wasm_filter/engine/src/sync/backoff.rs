//! How long to wait after a failure: twice as long each time, with jitter, up to a bound.

use std::time::Duration;

use crate::chance::Rolls;

/// The wait after the first failure, before jitter.
const FIRST: Duration = Duration::from_millis(250);
/// No wait is longer (design, section 5).
pub const LONGEST: Duration = Duration::from_secs(30);

/// Failures in a row.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure: between half of the step and all of it, so that a fleet that lost its
    /// control plane at one moment does not come back at one moment.
    pub fn failed(&mut self, rolls: &mut impl Rolls) -> Duration {
        let step = FIRST.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        // Past this count every step is the longest one anyway.
        self.failures = self.failures.saturating_add(1).min(31);
        let half = step / 2;
        half + half.mul_f64(f64::from(rolls.below_million()) / 1e6)
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// It worked: the next failure is a first one.
    pub fn worked(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u32);

    impl Rolls for Fixed {
        fn below_million(&mut self) -> u32 {
            self.0
        }

        fn uniform(&mut self) -> f64 {
            f64::from(self.0) / 1e6
        }
    }

    fn waits(roll: u32, count: usize) -> Vec<u64> {
        let mut backoff = Backoff::default();
        (0..count).map(|_| backoff.failed(&mut Fixed(roll)).as_millis() as u64).collect()
    }

    #[test]
    fn doubles_up_to_the_bound() {
        assert_eq!(waits(0, 10), [125, 250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(waits(999_999, 10), [249, 499, 999, 1999, 3999, 7999, 15_999, 29_999, 29_999, 29_999]);
    }

    #[test]
    fn never_overflows() {
        assert!(waits(999_999, 5000).iter().all(|wait| u128::from(*wait) <= LONGEST.as_millis()));
    }

    #[test]
    fn starts_again_after_it_worked() {
        let mut backoff = Backoff::default();
        for _ in 0..8 {
            backoff.failed(&mut Fixed(0));
        }
        backoff.worked();
        assert_eq!(backoff.failed(&mut Fixed(0)), Duration::from_millis(125));
    }
}
