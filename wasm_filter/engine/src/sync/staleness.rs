//! The dead-man's switch: without word from the control plane for too long, faults stop. Word is of the store: a
//! control plane that is cut off from it answers, and says how long it has been.

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

    /// Looks at the time; `heard` is when the store was last heard of (see [`super::cache::Pulse`]).
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
    use super::super::cache::{Position, Pulse};
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
    fn answers_of_one_who_is_cut_off_do_not_keep_faults_going() {
        let mut staleness = Staleness::new(s(10));
        let mut pulse = None;
        // The control plane answers every second, and last heard of the store at 100.
        let mut changes = Vec::new();
        for now in 101..=113 {
            let position = Position { epoch: "e".to_owned(), version: 1 };
            let answered = Pulse::of(pulse.as_ref(), s(now), s(now - 100), s(1), position);
            changes.extend(staleness.look(s(now), answered.heard).map(|change| (now, change)));
            pulse = Some(answered);
        }
        assert_eq!(changes, [(111, Change::Stopped(s(11)))]);
        let position = Position { epoch: "e".to_owned(), version: 1 };
        let back = Pulse::of(pulse.as_ref(), s(114), s(0), s(1), position);
        assert_eq!(staleness.look(s(114), back.heard), Some(Change::Resumed));
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
