//! What the faults of one policy may do to one Envoy: one value in shared data, changed by compare-and-swap.
//!
//! Each VM has an entry of its own for the places that it holds, with a time after which nobody believes it: a VM
//! that died cannot give its places back. So each VM says again and again how many it holds.

use std::time::Duration;

use super::bytes::{self, Reader};
use super::roster::GONE_AFTER;
use crate::rule::Limits;

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
    /// Admits a fault; one that `holds` its request or the response takes a place of `max_active`. Says whether there
    /// was room.
    #[must_use]
    pub fn admit(&mut self, vm: u64, limits: Limits, holds: bool, now: Duration) -> bool {
        self.holders.retain(|holder| holder.until > now);
        let admitted = if self.second == now.as_secs() { self.admitted } else { 0 };
        let active: u32 = self.holders.iter().map(|holder| holder.active).fold(0, u32::saturating_add);
        let full = limits.max_per_second.is_some_and(|most| admitted >= most)
            || (holds && limits.max_active.is_some_and(|most| active >= most));
        if full {
            return false;
        }
        (self.second, self.admitted) = (now.as_secs(), admitted.saturating_add(1));
        if holds {
            let mine = self.holders.iter().find(|holder| holder.vm == vm).map_or(0, |holder| holder.active);
            self.keep(vm, mine.saturating_add(1), now);
        }
        true
    }

    /// A VM says how many places it holds. To be said every [`SIGN_EVERY`](super::roster::SIGN_EVERY): nobody knows how
    /// long it takes until an upstream answers, and a response that is to be held back holds its place until then.
    pub fn keep(&mut self, vm: u64, active: u32, now: Duration) {
        self.holders.retain(|holder| holder.vm != vm);
        self.holders.push(Holder { vm, active, until: now.saturating_add(GONE_AFTER) });
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
    use super::super::roster::SIGN_EVERY;
    use super::*;

    const NOW: Duration = Duration::from_millis(1_000_200);
    const BOTH: Limits = Limits { max_active: Some(2), max_per_second: Some(3) };
    const ACTIVE: Limits = Limits { max_active: Some(2), max_per_second: None };
    const RATE: Limits = Limits { max_active: None, max_per_second: Some(3) };

    const fn later(milliseconds: u64) -> Duration {
        NOW.saturating_add(Duration::from_millis(milliseconds))
    }

    #[test]
    fn so_many_in_a_second() {
        let mut quota = Quota::default();
        let mut admit = |now| quota.admit(1, RATE, false, now);
        assert_eq!([0, 1, 2, 3, 799].map(|ms| admit(later(ms))), [true, true, true, false, false]);
        // The next second of the clock.
        assert_eq!([800, 801, 802, 803].map(|ms| admit(later(ms))), [true, true, true, false]);
    }

    #[test]
    fn so_many_at_once_over_all_vms() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, ACTIVE, true, NOW));
        assert!(quota.admit(2, ACTIVE, true, NOW));
        assert!(!quota.admit(1, ACTIVE, true, NOW));
        assert!(quota.admit(1, ACTIVE, false, NOW), "one that holds nothing takes no place");
        quota.give_back(2);
        assert!(quota.admit(1, ACTIVE, true, NOW));
        assert!(!quota.admit(2, ACTIVE, true, NOW));
        quota.give_back(1);
        quota.give_back(1);
        quota.give_back(1);
        assert_eq!(quota.holders, [], "what is given back once too often is nobody's");
    }

    #[test]
    fn a_vm_that_died_blocks_a_place_only_for_a_while() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, ACTIVE, true, NOW) && quota.admit(1, ACTIVE, true, NOW));
        let over = NOW + GONE_AFTER;
        assert!(!quota.admit(2, ACTIVE, true, over - Duration::from_nanos(1)));
        assert!(quota.admit(2, ACTIVE, true, over));
    }

    #[test]
    fn a_vm_that_lives_keeps_its_places_however_long_they_are_taken() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, ACTIVE, true, NOW) && quota.admit(1, ACTIVE, true, NOW));
        for said in 1..1000 {
            let now = NOW + SIGN_EVERY * said;
            quota.keep(1, 2, now);
            assert!(!quota.admit(2, ACTIVE, true, now + SIGN_EVERY));
        }
    }

    #[test]
    fn what_a_vm_says_of_its_places_is_true() {
        let mut quota = Quota::default();
        // It was not heard for so long that another took its places; it holds them all the same.
        assert!(quota.admit(1, ACTIVE, true, NOW) && quota.admit(1, ACTIVE, true, NOW));
        let late = NOW + GONE_AFTER;
        assert!(quota.admit(2, ACTIVE, true, late));
        quota.keep(1, 2, late);
        assert!(!quota.admit(2, ACTIVE, true, late));
        // What it did not get through to give back is free with its next word.
        quota.give_back(2);
        quota.keep(1, 1, late);
        assert!(quota.admit(2, ACTIVE, true, late));
    }

    #[test]
    fn one_that_is_refused_uses_up_nothing() {
        let mut quota = Quota::default();
        assert!(quota.admit(1, BOTH, true, NOW) && quota.admit(1, BOTH, true, NOW));
        let before = quota.clone();
        assert!(!quota.admit(1, BOTH, true, NOW));
        assert_eq!(quota, before);
        assert!(quota.admit(1, BOTH, false, NOW));
    }

    #[test]
    fn survives_shared_data() {
        let mut quota = Quota::default();
        assert!(quota.admit(u64::MAX, BOTH, true, NOW) && quota.admit(2, BOTH, true, NOW));
        let written = quota.encode();
        assert_eq!(Quota::decode(&written), quota);
        for broken in [&written[..written.len() - 1], &[], b"x"] {
            assert_eq!(Quota::decode(broken), Quota::default());
        }
    }
}
