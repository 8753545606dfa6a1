//! What the leader leaves in shared data for the other VMs, for later ones, and for the next leader.
//!
//! Shared data outlives VMs, and a VM of another version of the filter may read it: each layout has its
//! number, and what cannot be read counts as absent.

use std::time::Duration;

use super::bytes::{self, Reader};
use super::clock::ServerClock;

const CACHED_LAYOUT: u8 = 2;
const PULSE_LAYOUT: u8 = 1;

/// How far one is up to date, and with which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Changes when the store is another; versions of two epochs cannot be compared.
    pub epoch: String,
    /// The store's revision.
    pub version: u64,
}

impl Position {
    /// Whether `offered` would take one back: only a replica that lags behind offers that.
    #[must_use]
    pub fn is_ahead_of(&self, offered: &Position) -> bool {
        self.epoch == offered.epoch && self.version > offered.version
    }
}

/// What is known of a cached snapshot. It is written behind the snapshot's own bytes, so that these, which may be
/// megabytes, need not be copied to be written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cached {
    /// When it was taken over. Names it, beside other snapshots of this Envoy.
    pub stamp: Duration,
    /// The time at the server.
    pub clock: ServerClock,
}

impl Cached {
    const LENGTH: usize = 25;

    /// Makes a snapshot's bytes into what is written to shared data.
    pub fn put_behind(&self, snapshot: &mut Vec<u8>) {
        let (wall, monotonic) = self.clock.offsets();
        snapshot.push(CACHED_LAYOUT);
        snapshot.extend_from_slice(&bytes::moment(self.stamp));
        snapshot.extend_from_slice(&wall.to_le_bytes());
        snapshot.extend_from_slice(&monotonic.to_le_bytes());
    }

    /// Undoes [`Cached::put_behind`], which leaves the snapshot's bytes; `None` for anything else.
    #[must_use]
    pub fn take_from(written: &mut Vec<u8>) -> Option<Cached> {
        let length = written.len().checked_sub(Cached::LENGTH)?;
        let mut reader = Reader::new(written.get(length..)?, CACHED_LAYOUT)?;
        let stamp = reader.moment()?;
        let clock = ServerClock::from_offsets(reader.i64()?, reader.i64()?);
        written.truncate(length);
        Some(Cached { stamp, clock })
    }
}

/// The last good answer of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// When the store was last heard of: when the answer came, less the age that it told of itself.
    pub heard: Duration,
    /// Which [`Cached`] snapshot is current.
    pub stamp: Duration,
    /// How far that snapshot is up to date. It may be ahead of the snapshot's own version: a change that leaves
    /// a node's rules as they were brings no new snapshot.
    pub position: Position,
}

impl Pulse {
    /// The pulse of an answer that came now, from one who had not heard of the store for `age`.
    ///
    /// Replicas take turns behind one address, and one that is cut off takes nothing away from what another has said:
    /// within an epoch the later word counts. (On a machine that has run for less than `age`, the word is as old as
    /// the machine: a moment before its start cannot be told.)
    #[must_use]
    pub fn of(
        before: Option<&Pulse>,
        now: Duration,
        age: Duration,
        stamp: Duration,
        position: Position,
    ) -> Pulse {
        let told = now.saturating_sub(age);
        let heard = match before {
            Some(before) if before.position.epoch == position.epoch => told.max(before.heard),
            _ => told,
        };
        Pulse { heard, stamp, position }
    }

    /// As written to shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut written = vec![PULSE_LAYOUT];
        written.extend_from_slice(&bytes::moment(self.heard));
        written.extend_from_slice(&bytes::moment(self.stamp));
        written.extend_from_slice(&self.position.version.to_le_bytes());
        bytes::put_text(&mut written, &self.position.epoch);
        written
    }

    /// What [`Pulse::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(written: &[u8]) -> Option<Pulse> {
        let mut reader = Reader::new(written, PULSE_LAYOUT)?;
        let (heard, stamp, version) = (reader.moment()?, reader.moment()?, reader.u64()?);
        let pulse = Pulse { heard, stamp, position: Position { epoch: reader.text()?.to_owned(), version } };
        reader.is_empty().then_some(pulse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(epoch: &str, version: u64) -> Position {
        Position { epoch: epoch.to_owned(), version }
    }

    #[test]
    fn back_is_only_within_an_epoch() {
        let ours = position("a", 10);
        assert!(ours.is_ahead_of(&position("a", 9)));
        assert!(!ours.is_ahead_of(&position("a", 10)));
        assert!(!ours.is_ahead_of(&position("a", 11)));
        assert!(!ours.is_ahead_of(&position("b", 1)));
    }

    #[test]
    fn a_snapshot_survives_shared_data() {
        let clock = ServerClock::new(1_764_000_000_000, Duration::from_secs(9), Duration::from_secs(5));
        let cached = Cached { stamp: Duration::new(5, 6), clock };
        for snapshot in [&b""[..], b"{}", &[0, 255]] {
            let mut written = snapshot.to_vec();
            cached.put_behind(&mut written);
            assert_eq!(Cached::take_from(&mut written), Some(cached));
            assert_eq!(written, snapshot);
        }
        let mut strange = vec![9; 100];
        assert_eq!(Cached::take_from(&mut strange), None);
        assert_eq!(strange.len(), 100);
        assert_eq!(Cached::take_from(&mut vec![CACHED_LAYOUT, 0, 0]), None);
    }

    #[test]
    fn word_is_as_old_as_what_the_one_who_answers_has_heard() {
        const fn s(seconds: u64) -> Duration {
            Duration::from_secs(seconds)
        }
        // about, the epoch and time of what was heard before, the answer's age, when the store was last heard of
        let table = [
            ("the first word", None, s(0), s(1000)),
            ("the first word, from one who is cut off", None, s(60), s(940)),
            ("one who hears of the store", Some(("e", s(975))), s(0), s(1000)),
            ("one who is cut off, and nothing but it", Some(("e", s(940))), s(60), s(940)),
            ("one who is cut off takes nothing away", Some(("e", s(975))), s(60), s(975)),
            ("another store's word is its own", Some(("f", s(975))), s(60), s(940)),
            ("longer than the machine runs", None, s(2000), s(0)),
        ];
        for (about, before, age, heard) in table {
            let before =
                before.map(|(epoch, heard)| Pulse { heard, stamp: s(1), position: position(epoch, 8) });
            let pulse = Pulse::of(before.as_ref(), s(1000), age, s(2), position("e", 9));
            assert_eq!(pulse, Pulse { heard, stamp: s(2), position: position("e", 9) }, "{about}");
        }
    }

    #[test]
    fn a_pulse_survives_shared_data() {
        let pulse = Pulse {
            heard: Duration::new(7, 8),
            stamp: Duration::new(5, 6),
            position: position("é-1", u64::MAX),
        };
        let written = pulse.encode();
        assert_eq!(Pulse::decode(&written), Some(pulse));
        for end in 0..written.len() {
            assert_eq!(Pulse::decode(&written[..end]), None);
        }
        assert_eq!(Pulse::decode(&[written.as_slice(), b"x"].concat()), None);
    }
}
