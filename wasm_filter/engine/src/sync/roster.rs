//! Which queues to wake when there is something new, and who could lead without stalling a worker.
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

const LAYOUT: u8 = 2;

/// Who is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roster {
    entries: Vec<Entry>,
}

/// What a VM signs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Its queue.
    pub queue: u32,
    /// Of its bootstrap.
    pub generation: u64,
    /// Whether it has never served a request, as that of the main thread never does.
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    by: Signature,
    signed: Duration,
}

impl Roster {
    /// Signs, and strikes off those who are gone.
    pub fn sign(&mut self, by: Signature, now: Duration) {
        self.entries.retain(|entry| entry.by.queue != by.queue && entry.signed + GONE_AFTER > now);
        self.entries.push(Entry { by, signed: now });
    }

    /// Whether another is quiet, and would not lead by an older bootstrap than `own`.
    #[must_use]
    pub fn has_quiet(&self, own: Signature, now: Duration) -> bool {
        self.entries.iter().any(|Entry { by, signed }| {
            by.queue != own.queue && by.quiet && by.generation >= own.generation && *signed + GONE_AFTER > now
        })
    }

    /// Takes queues off: one's own when leaving, or such as turned out not to exist.
    pub fn strike_off(&mut self, queues: &[u32]) {
        self.entries.retain(|entry| !queues.contains(&entry.by.queue));
    }

    /// Everybody else's queues.
    pub fn others(&self, own: u32) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().map(|entry| entry.by.queue).filter(move |queue| *queue != own)
    }

    /// As written to shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut written = vec![LAYOUT];
        for Entry { by, signed } in &self.entries {
            written.extend_from_slice(&by.queue.to_le_bytes());
            written.extend_from_slice(&by.generation.to_le_bytes());
            written.extend_from_slice(&u32::from(by.quiet).to_le_bytes());
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

fn read(written: &[u8]) -> Option<Vec<Entry>> {
    let mut reader = Reader::new(written, LAYOUT)?;
    let mut entries = Vec::new();
    while !reader.is_empty() {
        let by = Signature { queue: reader.u32()?, generation: reader.u64()?, quiet: reader.u32()? != 0 };
        entries.push(Entry { by, signed: reader.moment()? });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn by(queue: u32, generation: u64, quiet: bool) -> Signature {
        Signature { queue, generation, quiet }
    }

    fn signed(signatures: &[(u32, u64)]) -> Roster {
        let mut roster = Roster::default();
        for (queue, seconds) in signatures {
            roster.sign(by(*queue, 1, false), at(*seconds));
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
    fn somebody_else_could_lead() {
        let table = [
            ("it serves requests, too", by(2, 3, false), 100, false),
            ("it is quiet", by(2, 3, true), 100, true),
            ("of a newer bootstrap", by(2, 4, true), 100, true),
            ("of an older bootstrap", by(2, 2, true), 100, false),
            ("oneself", by(1, 3, true), 100, false),
            ("gone", by(2, 3, true), 80, false),
        ];
        for (about, other, signed, expected) in table {
            let mut roster = Roster::default();
            roster.sign(other, at(signed));
            assert_eq!(roster.has_quiet(by(1, 3, false), at(100)), expected, "{about}");
        }
    }

    #[test]
    fn survives_shared_data() {
        let mut roster = signed(&[(1, 100), (u32::MAX, 103)]);
        roster.sign(by(5, u64::MAX, true), at(104));
        let written = roster.encode();
        assert_eq!(Roster::decode(&written), roster);
        assert_eq!(Roster::decode(&written[..written.len() - 1]), Roster::default());
        assert_eq!(Roster::decode(&[]), Roster::default());
        assert_eq!(Roster::decode(&Roster::default().encode()), Roster::default());
    }
}
