//! Taking over what the leader left in shared data.

use std::rc::Rc;
use std::time::Duration;

use hfi_engine::snapshot::Snapshot;
use hfi_engine::sync::cache::{Cached, Position, Pulse};
use hfi_engine::sync::clock::ServerClock;
use hfi_engine::sync::staleness::{Change, Staleness};

use crate::active::Active;
use crate::filter::Filter;
use crate::shared;

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

    /// Looks at the pulse, and at what it names if that is not what one has.
    pub fn catch_up(&mut self, now: Duration) -> Option<Change> {
        let pulse = shared::pulse()?;
        if self.seen.is_none_or(|(stamp, _)| stamp != pulse.stamp) {
            self.take_over_cached();
        }
        self.filter.metrics.snapshot_version.set(pulse.position.version);
        let change = self.staleness.look(now, pulse.heard);
        self.filter.stop_faults(self.staleness.is_stale());
        self.pulse = Some(pulse);
        change
    }

    fn take_over_cached(&mut self) {
        let written = shared::snapshot();
        let Some(cached) = Cached::decode(&written) else { return };
        if self.seen.is_some_and(|(stamp, _)| stamp == cached.stamp) {
            return;
        }
        match self.next(cached.snapshot) {
            // The leader has already counted, and logged, what is left out.
            Ok(parsed) => self.take_over(parsed.snapshot, cached.clock, cached.stamp),
            Err(error) => {
                self.seen = Some((cached.stamp, false));
                self.filter.metrics.errors.add(1);
                log::warn!("the cached snapshot cannot be used: {error}");
            }
        }
    }

    /// Compiles a snapshot; what did not change is taken over from the one before.
    pub fn next(
        &self,
        data: &[u8],
    ) -> Result<hfi_engine::snapshot::Parsed, hfi_engine::snapshot::SnapshotError> {
        match self.filter.active() {
            Some(active) => active.snapshot.next(data),
            None => Snapshot::parse(data),
        }
    }

    /// From now on, requests run by this.
    pub fn take_over(&mut self, snapshot: Snapshot, clock: ServerClock, stamp: Duration) {
        self.seen = Some((stamp, true));
        self.filter.activate(Active::new(snapshot, clock));
    }
}
