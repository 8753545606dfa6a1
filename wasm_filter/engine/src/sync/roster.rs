//! Which queues to wake when there is something new.
//!
//! Envoy does not say when a VM is gone, and takes messages for its queue all the same; so each VM signs the
//! roster again and again, and whoever has not for a while is struck off. Striking off one that lives is
//! harmless: it is back with its next signature, and looks at the pulse with every slow tick anyway.

use std::time::Duration;

use super::bytes::{self, Reader};

/// How often to sign.
pub const SIGN_EVERY: Duration = Duration::from_secs(5);
/// Struck off after so long without a signature.
pub const GONE_AFTER: Duration = Duration::from_secs(20);

const LAYOUT: u8 = 1;

/// Queues, with when their owners last signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    entries: Vec<(u32, Duration)>,
}

impl Roster {
    /// Signs for a queue, and strikes off those who are gone.
    pub fn sign(&mut self, queue: u32, now: Duration) {
        self.entries.retain(|(entry, signed)| *entry != queue && *signed + GONE_AFTER > now);
        self.entries.push((queue, now));
    }

    /// Takes queues off: one's own when leaving, or such as turned out not to exist.
    pub fn strike_off(&mut self, queues: &[u32]) {
        self.entries.retain(|(entry, _)| !queues.contains(entry));
    }

    /// Everybody else's queues.
    pub fn others(&self, own: u32) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|(queue, _)| *queue).filter(move |queue| *queue != own)
    }

    /// As written to shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut written = vec![LAYOUT];
        for (queue, signed) in &self.entries {
            written.extend_from_slice(&queue.to_le_bytes());
            written.extend_from_slice(&bytes::moment(*signed));
        }
        written
    }

    /// What [`Roster::encode`] wrote; an empty roster for anything else, for everybody will sign again.
    #[must_use]
    pub fn decode(written: &[u8]) -> Roster {
        Roster { entries: read(written).unwrap_or_default() }
    }
}

fn read(written: &[u8]) -> Option<Vec<(u32, Duration)>> {
    let mut reader = Reader::new(written, LAYOUT)?;
    let mut entries = Vec::new();
    while !reader.is_empty() {
        entries.push((reader.u32()?, reader.moment()?));
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn signed(signatures: &[(u32, u64)]) -> Roster {
        let mut roster = Roster::default();
        for (queue, seconds) in signatures {
            roster.sign(*queue, at(*seconds));
        }
        roster
    }

    #[test]
    fn wakes_everybody_else_once() {
        let roster = signed(&[(1, 100), (2, 100), (3, 101), (2, 105)]);
        assert_eq!(roster.others(3).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(roster.others(9).collect::<Vec<_>>(), [1, 3, 2]);
    }

    #[test]
    fn whoever_does_not_sign_is_struck_off() {
        assert_eq!(signed(&[(1, 100), (2, 119)]).others(2).collect::<Vec<_>>(), [1]);
        assert_eq!(signed(&[(1, 100), (2, 120)]).others(2).count(), 0);
    }

    #[test]
    fn leaves() {
        let mut roster = signed(&[(1, 100), (2, 100), (3, 100)]);
        roster.strike_off(&[1, 3]);
        assert_eq!(roster, signed(&[(2, 100)]));
    }

    #[test]
    fn survives_shared_data() {
        let roster = signed(&[(1, 100), (u32::MAX, 103)]);
        let written = roster.encode();
        assert_eq!(Roster::decode(&written), roster);
        assert_eq!(Roster::decode(&written[..written.len() - 1]), Roster::default());
        assert_eq!(Roster::decode(&[]), Roster::default());
        assert_eq!(Roster::decode(&Roster::default().encode()), Roster::default());
    }
}
