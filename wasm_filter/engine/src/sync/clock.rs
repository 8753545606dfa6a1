//! The time at the control plane, by which a rule's end is written.

use std::time::Duration;

/// What to add to this host's clocks, taken when a snapshot arrived.
///
/// Two clocks, because each has a fault of its own: the wall clock is set, and the monotonic one stands still
/// while a machine sleeps. The later of the two is believed, for then neither can keep a fault beyond its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerClock {
    wall_offset_ms: i64,
    monotonic_offset_ms: i64,
}

impl ServerClock {
    /// `server_ms` is the server's time in a snapshot, `wall` (since 1970) and `monotonic` when it was received.
    #[must_use]
    pub fn new(server_ms: u64, wall: Duration, monotonic: Duration) -> ServerClock {
        let server = milliseconds(server_ms.into());
        ServerClock::from_offsets(
            server.saturating_sub(milliseconds(wall.as_millis())),
            server.saturating_sub(milliseconds(monotonic.as_millis())),
        )
    }

    pub(super) fn from_offsets(wall_offset_ms: i64, monotonic_offset_ms: i64) -> ServerClock {
        ServerClock { wall_offset_ms, monotonic_offset_ms }
    }

    pub(super) fn offsets(self) -> (i64, i64) {
        (self.wall_offset_ms, self.monotonic_offset_ms)
    }

    /// The time at the server, in Unix milliseconds.
    #[must_use]
    pub fn now_ms(self, wall: Duration, monotonic: Duration) -> u64 {
        let by_wall = milliseconds(wall.as_millis()).saturating_add(self.wall_offset_ms);
        let by_monotonic = milliseconds(monotonic.as_millis()).saturating_add(self.monotonic_offset_ms);
        u64::try_from(by_wall.max(by_monotonic)).unwrap_or(0)
    }
}

fn milliseconds(count: u128) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_servers_time_whatever_happens_to_ours() {
        let hour = 3600;
        let clock = ServerClock::new(1_764_000_000_000, s(1_763_999_000), s(50));
        let table = [
            ("ten seconds later", s(1_763_999_010), s(60), 10),
            ("our clock was set back", s(1_763_999_010 - hour), s(60), 10),
            ("our clock was set forward", s(1_763_999_010 + hour), s(60), 10 + hour),
            ("the machine slept", s(1_763_999_010 + hour), s(60), 10 + hour),
        ];
        for (about, wall, monotonic, seconds) in table {
            assert_eq!(clock.now_ms(wall, monotonic), 1_764_000_000_000 + 1000 * seconds, "{about}");
        }
    }

    #[test]
    fn nonsense_does_not_overflow() {
        assert_eq!(ServerClock::new(0, Duration::MAX, Duration::MAX).now_ms(s(0), s(0)), 0);
        let far = ServerClock::new(u64::MAX, s(0), s(0)).now_ms(Duration::MAX, Duration::MAX);
        assert_eq!(far, i64::MAX as u64);
    }
}
