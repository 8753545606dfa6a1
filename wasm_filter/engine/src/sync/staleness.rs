//! The dead-man's switch: without word from the control plane for too long, faults stop.

use std::time::Duration;

/// What has changed, for the log; it is said once each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Faults stop; nothing was heard for so long.
    Stopped(Duration),
    /// The control plane is back, and faults with it.
    Resumed,
}

/// Whether what one has may still be used.
#[derive(Debug, Clone)]
pub struct Staleness {
    limit: Duration,
    stale: bool,
}

impl Staleness {
    /// Stale after `limit` without word; zero for never.
    #[must_use]
    pub fn new(limit: Duration) -> Staleness {
        Staleness { limit, stale: false }
    }

    /// Looks at the time; `heard` is when the control plane last gave a good answer.
    pub fn look(&mut self, now: Duration, heard: Duration) -> Option<Change> {
        let silence = now.saturating_sub(heard);
        let was = std::mem::replace(&mut self.stale, !self.limit.is_zero() && silence > self.limit);
        match (was, self.stale) {
            (false, true) => Some(Change::Stopped(silence)),
            (true, false) => Some(Change::Resumed),
            _ => None,
        }
    }

    /// As of the last look.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn says_each_change_once() {
        let mut staleness = Staleness::new(s(10));
        assert_eq!(staleness.look(s(110), s(100)), None);
        assert!(!staleness.is_stale());
        assert_eq!(staleness.look(s(111), s(100)), Some(Change::Stopped(s(11))));
        assert_eq!(staleness.look(s(200), s(100)), None);
        assert!(staleness.is_stale());
        assert_eq!(staleness.look(s(201), s(201)), Some(Change::Resumed));
        assert_eq!(staleness.look(s(202), s(201)), None);
        assert!(!staleness.is_stale());
    }

    #[test]
    fn zero_is_never() {
        let mut staleness = Staleness::new(s(0));
        assert_eq!(staleness.look(s(1_000_000), s(0)), None);
        assert!(!staleness.is_stale());
    }

    #[test]
    fn word_from_the_future_is_fresh() {
        assert_eq!(Staleness::new(s(1)).look(s(10), s(20)), None);
    }
}
