//! Who talks to the control plane.
//!
//! The lease is one value in shared data. A VM that wants to lead reads it with its CAS number, asks
//! [`Lease::claim`], and writes what it is given under that number; it leads when the write went through.
//!
//! 1. The holder renews with every slow tick, long before the term is over.
//! 2. Anybody takes a lease whose term is over: its holder is gone, or so slow that it must not lead.
//! 3. A higher generation takes the lease at once. After a change of the filter's bootstrap, the old root context
//!    can live on for as long as a request is in flight, and would go on asking by the old bootstrap.

use std::time::Duration;

use super::bytes::{self, Reader};

/// How long a lease holds without being renewed. Several slow ticks, so that a busy worker keeps it.
pub const TERM: Duration = Duration::from_secs(4);

const LAYOUT: u8 = 1;

/// One that would lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Random, one for each root context.
    pub id: u64,
    /// From the bootstrap.
    pub generation: u64,
}

/// A lease as it stands in shared data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub holder: Candidate,
    /// Until when.
    pub until: Duration,
}

/// What one that would lead is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Write this lease: it leads when that goes through.
    Take(Lease),
    /// Give back the lease, for another to take.
    GiveBack,
    /// Leave the lease to others.
    Leave,
}

impl Lease {
    /// What to do about the lease that was `found`. `yields` says that this one serves requests, and that there is
    /// another which does not.
    #[must_use]
    pub fn claim(found: Option<Lease>, me: Candidate, yields: bool, now: Duration) -> Claim {
        let mine = Claim::Take(Lease { holder: me, until: now + TERM });
        match found {
            Some(lease) if lease.holder.id == me.id => {
                if yields {
                    Claim::GiveBack
                } else {
                    mine
                }
            }
            Some(lease) if lease.holder.generation < me.generation => mine,
            Some(lease) if lease.until > now => Claim::Leave,
            _ if yields => Claim::Leave,
            _ => mine,
        }
    }

    /// As written to shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut written = vec![LAYOUT];
        written.extend_from_slice(&self.holder.id.to_le_bytes());
        written.extend_from_slice(&self.holder.generation.to_le_bytes());
        written.extend_from_slice(&bytes::moment(self.until));
        written
    }

    /// What [`Lease::encode`] wrote; `None` for anything else, such as a lease given back.
    #[must_use]
    pub fn decode(written: &[u8]) -> Option<Lease> {
        let mut reader = Reader::new(written, LAYOUT)?;
        let holder = Candidate { id: reader.u64()?, generation: reader.u64()? };
        let lease = Lease { holder, until: reader.moment()? };
        reader.is_empty().then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const ME: Candidate = Candidate { id: 7, generation: 3 };

    fn held_by(id: u64, generation: u64, until: Duration) -> Option<Lease> {
        Some(Lease { holder: Candidate { id, generation }, until })
    }

    #[test]
    fn who_gets_the_lease() {
        let later = NOW + Duration::from_nanos(1);
        let take = Claim::Take(Lease { holder: ME, until: NOW + TERM });
        // (what was found, what one that serves no requests does, what one does that could leave it to such a one)
        let table = [
            ("nobody holds it", None, take, Claim::Leave),
            ("mine, running", held_by(7, 3, later), take, Claim::GiveBack),
            ("mine, over", held_by(7, 3, NOW), take, Claim::GiveBack),
            ("another's, running", held_by(8, 3, later), Claim::Leave, Claim::Leave),
            ("another's, over", held_by(8, 3, NOW), take, Claim::Leave),
            ("another's of a lower generation", held_by(8, 2, later), take, take),
            ("another's of a lower generation, over", held_by(8, 2, NOW), take, take),
            ("another's of a higher generation", held_by(8, 4, later), Claim::Leave, Claim::Leave),
            ("another's of a higher generation, over", held_by(8, 4, NOW), take, Claim::Leave),
        ];
        for (about, found, quiet, yields) in table {
            assert_eq!(Lease::claim(found, ME, false, NOW), quiet, "{about}");
            assert_eq!(Lease::claim(found, ME, true, NOW), yields, "{about}");
        }
    }

    #[test]
    fn survives_shared_data() {
        let lease = Lease { holder: ME, until: Duration::new(5, 7) };
        let written = lease.encode();
        assert_eq!(Lease::decode(&written), Some(lease));
        for end in 0..written.len() {
            assert_eq!(Lease::decode(&written[..end]), None);
        }
        assert_eq!(Lease::decode(&[written.as_slice(), b"x"].concat()), None);
        assert_eq!(Lease::decode(&[&[LAYOUT + 1], &written[1..]].concat()), None);
    }
}
