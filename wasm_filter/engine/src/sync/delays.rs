//! The requests that are being held, by when they are to go on.

use std::collections::BTreeMap;
use std::time::Duration;

/// Held requests. A root context has one timer, so the earliest of many deadlines must be known at any time;
/// and a request whose client went away must free its place at once, which a heap could not do.
#[derive(Debug)]
pub struct Delays<T> {
    held: BTreeMap<(Duration, u32), T>,
}

impl<T> Default for Delays<T> {
    fn default() -> Self {
        Delays { held: BTreeMap::new() }
    }
}

impl<T> Delays<T> {
    /// Holds the request of a context until a deadline.
    pub fn hold(&mut self, deadline: Duration, context: u32, held: T) {
        self.held.insert((deadline, context), held);
    }

    /// Lets go of a request, if it is still held.
    pub fn let_go(&mut self, deadline: Duration, context: u32) -> Option<T> {
        self.held.remove(&(deadline, context))
    }

    /// The request with the earliest deadline, once that has come or is [`EARLY`] away: call it until there is none.
    pub fn pop_due(&mut self, now: Duration) -> Option<(u32, T)> {
        if !self.is_due(now) {
            return None;
        }
        let ((_, context), held) = self.held.pop_first()?;
        Some((context, held))
    }

    /// Whether there is one for [`Delays::pop_due`].
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.next().is_some_and(|deadline| deadline <= now.saturating_add(EARLY))
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.held.keys().next().map(|(deadline, _)| *deadline)
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// A request may go on so much before its time: the timer counts whole milliseconds, and half of one early is as good
/// as half of one late.
pub const EARLY: Duration = Duration::from_micros(500);

/// The timer's period, in milliseconds, that ends nearest to `deadline`, and at most [`EARLY`] before it. Never zero,
/// which would stop the timer: a deadline that has passed is due in a millisecond.
#[must_use]
pub fn period_ms(now: Duration, deadline: Duration) -> u32 {
    let wait = (deadline.saturating_sub(now).saturating_sub(EARLY)).as_nanos().div_ceil(1_000_000);
    u32::try_from(wait).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn due(delays: &mut Delays<&'static str>, now: Duration) -> Vec<(u32, &'static str)> {
        std::iter::from_fn(|| delays.pop_due(now)).collect()
    }

    #[test]
    fn goes_on_in_the_order_of_deadlines() {
        let mut delays = Delays::default();
        delays.hold(ms(30), 1, "a");
        delays.hold(ms(10), 2, "b");
        delays.hold(ms(20), 3, "c");
        delays.hold(ms(20), 4, "d");
        assert_eq!(delays.next(), Some(ms(10)));
        assert_eq!(due(&mut delays, ms(9)), []);
        assert_eq!(due(&mut delays, ms(20)), [(2, "b"), (3, "c"), (4, "d")]);
        assert_eq!(delays.next(), Some(ms(30)));
        assert_eq!(due(&mut delays, ms(31)), [(1, "a")]);
        assert_eq!(delays.next(), None);
        assert!(delays.is_empty());
    }

    #[test]
    fn a_client_that_goes_away_frees_its_place() {
        let mut delays = Delays::default();
        delays.hold(ms(30), 1, "a");
        delays.hold(ms(10), 2, "b");
        assert_eq!(delays.let_go(ms(10), 2), Some("b"));
        assert_eq!(delays.let_go(ms(10), 2), None);
        assert_eq!((delays.next(), delays.len()), (Some(ms(30)), 1));
    }

    #[test]
    fn goes_on_half_a_millisecond_early_and_no_more() {
        let mut delays = Delays::default();
        delays.hold(ms(10), 1, "a");
        assert_eq!(due(&mut delays, Duration::from_micros(9_499)), []);
        assert_eq!(due(&mut delays, Duration::from_micros(9_500)), [(1, "a")]);
    }

    #[test]
    fn the_timer_ends_nearest_and_is_never_stopped() {
        let now = Duration::from_nanos(1_000_000_500);
        let table = [
            (now, 1),
            (now - ms(5), 1),
            (now + Duration::from_nanos(1), 1),
            (now + ms(1), 1),
            (now + Duration::from_micros(1_500), 1),
            (now + Duration::from_micros(1_501), 2),
            (now + ms(2), 2),
            (now + ms(250), 250),
            (Duration::MAX, u32::MAX),
        ];
        for (deadline, period) in table {
            assert_eq!(period_ms(now, deadline), period, "{deadline:?}");
        }
    }
}
