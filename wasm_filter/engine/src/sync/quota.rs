//! What the faults of one policy may do to one Envoy: one value in shared data, changed by compare-and-swap.
//!
//! Each VM has an entry of its own for the places that it holds, with a time after which nobody believes it: a VM
//! that died cannot give its places back.

use std::time::Duration;

use super::bytes::{self, Reader};
use crate::rule::Limits;

/// How much longer than its faults take a VM keeps its places. A response is held back only when the upstream has
/// answered, and nobody knows when that is.
const GRACE: Duration = Duration::from_secs(30);

const LAYOUT: u8 = 1;

/// How much of its limits a policy uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota {
    /// A second of the monotonic clock, and how many were admitted in it.
    second: u64,
    admitted: u32,
    holders: Vec<Holder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    vm: u64,
    active: u32,
    until: Duration,
}

impl Quota {
    /// Takes a place for a fault that holds its request for so long; zero: not at all, and takes no place of
    /// `max_active`. Says whether there was one.
    #[must_use]
    pub fn admit(&mut self, vm: u64, limits: Limits, hold: Duration, now: Duration) -> bool {
        self.holders.retain(|holder| holder.until > now);
        let admitted = if self.second == now.as_secs() { self.admitted } else { 0 };
        let active: u32 = self.holders.iter().map(|holder| holder.active).fold(0, u32::saturating_add);
        let full = limits.max_per_second.is_some_and(|most| admitted >= most)
            || (!hold.is_zero() && limits.max_active.is_some_and(|most| active >= most));
        if full {
            return false;
        }
        (self.second, self.admitted) = (now.as_secs(), admitted.saturating_add(1));
        if !hold.is_zero() {
            let until = now.saturating_add(hold).saturating_add(GRACE);
            match self.holders.iter_mut().find(|holder| holder.vm == vm) {
                Some(holder) => {
                    holder.active = holder.active.saturating_add(1);
                    holder.until = holder.until.max(until);
                }
                None => self.holders.push(Holder { vm, active: 1, until }),
            }
        }
        true
    }

    /// Gives back one place of a VM.
    pub fn give_back(&mut self, vm: u64) {
        if let Some(holder) = self.holders.iter_mut().find(|holder| holder.vm == vm) {
            holder.active = holder.active.saturating_sub(1);
        }
        self.holders.retain(|holder| holder.active > 0);
    }

    /// As written to shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut written = vec![LAYOUT];
        written.extend_from_slice(&self.second.to_le_bytes());
        written.extend_from_slice(&self.admitted.to_le_bytes());
        for holder in &self.holders {
            written.extend_from_slice(&holder.vm.to_le_bytes());
            written.extend_from_slice(&holder.active.to_le_bytes());
            written.extend_from_slice(&bytes::moment(holder.until));
        }
        written
    }

    /// What [`Quota::encode`] wrote; an unused one for anything else.
    #[must_use]
    pub fn decode(written: &[u8]) -> Quota {
        read(written).unwrap_or_default()
    }
}

fn read(written: &[u8]) -> Option<Quota> {
    let mut reader = Reader::new(written, LAYOUT)?;
    let mut quota = Quota { second: reader.u64()?, admitted: reader.u32()?, holders: Vec::new() };
    while !reader.is_empty() {
        quota.holders.push(Holder { vm: reader.u64()?, active: reader.u32()?, until: reader.moment()? });
    }
    Some(quota)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_millis(1_000_200);
    const HOLD: Duration = Duration::from_secs(2);
    const BOTH: Limits = Limits { max_active: Some(2), max_per_second: Some(3) };
    const ACTIVE: Limits = Limits { max_active: Some(2), max_per_second: None };
    const RATE: Limits = Limits { max_active: None, max_per_second: Some(3) };

    const fn later(milliseconds: u64) -> Duration {
        NOW.saturating_add(Duration::from_millis(milliseconds))
    }

    #[test]
    fn so_many_in_a_second() {
        let mut quota = Quota::default();
        let mut admit = |now| quota.admit(1, RATE, Duration::ZERO, now);
        assert_eq!([0, 1, 2, 3, 799].map(|ms| admit(later(ms))), [true, true, true, false, false]);
        // The next second of the clock.
        assert_eq!([800, 801, 802, 803].map(|ms| admit(later(ms))), [true, true, true, false]);
    }

    #[test]
    fn so_many_at_once_over_all_vms() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, ACTIVE, HOLD, NOW));
        assert!(quota.admit(2, ACTIVE, HOLD, NOW));
        assert!(!quota.admit(1, ACTIVE, HOLD, NOW));
        assert!(quota.admit(1, ACTIVE, Duration::ZERO, NOW), "one that holds nothing takes no place");
        quota.give_back(2);
        assert!(quota.admit(1, ACTIVE, HOLD, NOW));
        assert!(!quota.admit(2, ACTIVE, HOLD, NOW));
        quota.give_back(1);
        quota.give_back(1);
        quota.give_back(1);
        assert_eq!(quota.holders, [], "what is given back once too often is nobody's");
    }

    #[test]
    fn a_vm_that_died_blocks_a_place_only_for_a_while() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, ACTIVE, HOLD, NOW) && quota.admit(1, ACTIVE, HOLD, NOW));
        let over = NOW + HOLD + GRACE;
        assert!(!quota.admit(2, ACTIVE, HOLD, over - Duration::from_nanos(1)));
        assert!(quota.admit(2, ACTIVE, HOLD, over));
    }

    #[test]
    fn one_that_is_refused_uses_up_nothing() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, BOTH, HOLD, NOW) && quota.admit(1, BOTH, HOLD, NOW));
        let before = quota.clone();
        assert!(!quota.admit(1, BOTH, HOLD, NOW));
        assert_eq!(quota, before);
        assert!(quota.admit(1, BOTH, Duration::ZERO, NOW));
    }

    #[test]
    fn survives_shared_data() {
        let mut quota = Quota::default();
        assert!(quota.admit(u64::MAX, BOTH, HOLD, NOW) && quota.admit(2, BOTH, HOLD, NOW));
        let written = quota.encode();
        assert_eq!(Quota::decode(&written), quota);
        for broken in [&written[..written.len() - 1], &[], b"x"] {
            assert_eq!(Quota::decode(broken), Quota::default());
        }
    }
}
