//! Taking over what the leader left in shared data.

use std::rc::Rc;
use std::time::Duration;

use hfi_engine::sync::cache::{Cached, Position, Pulse};
use hfi_engine::sync::clock::ServerClock;
use hfi_engine::sync::staleness::{Change, Staleness};

use crate::active::Active;
use crate::filter::Filter;
use crate::{host, shared};
use hfi_engine::snapshot::RuleSet;

/// One VM's view of what is current.
pub struct Follower {
    filter: Rc<Filter>,
    staleness: Staleness,
    /// The cached snapshot that was looked at last, and whether it could be taken over.
    seen: Option<(Duration, bool)>,
    pulse: Option<Pulse>,
}

impl Follower {
    pub fn new(filter: Rc<Filter>, max_staleness: Duration) -> Follower {
        Follower { filter, staleness: Staleness::new(max_staleness), seen: None, pulse: None }
    }

    /// How far this VM is up to date, if the newest snapshot could be taken over.
    pub fn position(&self) -> Option<&Position> {
        let pulse = self.pulse.as_ref()?;
        (self.seen == Some((pulse.stamp, true))).then_some(&pulse.position)
    }

    /// The snapshot that the pulse names.
    pub fn stamp(&self) -> Option<Duration> {
        self.pulse.as_ref().map(|pulse| pulse.stamp)
    }

    /// The last good answer that this VM knows of.
    pub fn pulse(&self) -> Option<&Pulse> {
        self.pulse.as_ref()
    }

    /// When the store was last heard of.
    pub fn heard(&self) -> Option<Duration> {
        self.pulse.as_ref().map(|pulse| pulse.heard)
    }

    /// Looks at the pulse, and at what it names if that is not what one has.
    pub fn catch_up(&mut self, now: Duration) -> Option<Change> {
        let pulse = shared::pulse()?;
        if self.seen.is_none_or(|(stamp, _)| stamp != pulse.stamp) {
            self.take_over_cached();
        }
        self.filter.metrics.snapshot_version.record(pulse.position.version);
        let change = self.staleness.look(now, pulse.heard);
        self.filter.set_stale(self.staleness.is_stale());
        self.pulse = Some(pulse);
        change
    }

    fn take_over_cached(&mut self) {
        let mut written = shared::snapshot();
        let Some(cached) = Cached::take_from(&mut written) else { return };
        if self.seen.is_some_and(|(stamp, _)| stamp == cached.stamp) {
            return;
        }
        match self.open(written) {
            // The leader has already counted, and logged, what is left out.
            Some(rules) => self.take_over(rules, cached.clock, cached.stamp),
            None => {
                self.seen = Some((cached.stamp, false));
                self.filter.metrics.errors.add(1);
                host::warn("the cached snapshot cannot be used: another version of the filter wrote it");
            }
        }
    }

    /// Makes rules of what a leader compiled; what did not change is taken over from those before.
    pub fn open(&self, image: Vec<u8>) -> Option<RuleSet> {
        let began = host::monotonic();
        let before = self.filter.active();
        let rules = RuleSet::open(image, before.as_deref().map(|active| &active.rules))?;
        let took = host::monotonic().saturating_sub(began).as_micros();
        self.filter.metrics.takeover_us.record(u64::try_from(took).unwrap_or(u64::MAX));
        Some(rules)
    }

    /// From now on, requests run by this.
    pub fn take_over(&mut self, rules: RuleSet, clock: ServerClock, stamp: Duration) {
        self.seen = Some((stamp, true));
        self.filter.activate(Active::new(rules, clock));
    }
}
