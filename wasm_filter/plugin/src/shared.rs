//! What all VMs of an Envoy share. It lives as long as any VM of the same `vm_id` does, so it outlives a change of
//! the module, whose old VMs go when the new ones are there.

use std::time::Duration;

use hfi_engine::sync::cache::{Cached, Pulse};
use hfi_engine::sync::lease::{Candidate, Lease};
use hfi_engine::sync::roster::Roster;
use proxy_wasm::types::Bytes;

use crate::host;

const LEASE: &str = "hfi.lease";
const ROSTER: &str = "hfi.roster";
const SNAPSHOT: &str = "hfi.snapshot";
const PULSE: &str = "hfi.pulse";

/// So often is a change to the roster tried again when others change it at the same moment. Whoever has still not
/// got through signs again in a few seconds.
const ATTEMPTS: usize = 10;

/// Takes or renews the lease; says whether one leads.
///
/// Where there is no lease at all, nothing can be compared, and two may believe that they lead. Both poll, then,
/// until one of them renews, a second later, and finds the other's lease.
pub fn lead(me: Candidate, now: Duration) -> bool {
    let (written, cas) = host::shared(LEASE);
    let found = written.as_deref().and_then(Lease::decode);
    Lease::claim(found, me, now).is_some_and(|lease| host::set_shared(LEASE, &lease.encode(), cas))
}

/// Gives the lease back, if one has it.
pub fn resign(me: Candidate) {
    let (written, cas) = host::shared(LEASE);
    if written.as_deref().and_then(Lease::decode).is_some_and(|lease| lease.holder.id == me.id) {
        host::set_shared(LEASE, &[], cas);
    }
}

/// Changes the roster.
pub fn update_roster(change: impl Fn(&mut Roster)) {
    for _ in 0..ATTEMPTS {
        let (written, cas) = host::shared(ROSTER);
        let mut roster = Roster::decode(&written.unwrap_or_default());
        change(&mut roster);
        if host::set_shared(ROSTER, &roster.encode(), cas) {
            return;
        }
    }
}

/// Wakes everybody else on the roster, and strikes off queues that do not exist.
pub fn wake_others(own: u32) {
    let roster = Roster::decode(&host::shared(ROSTER).0.unwrap_or_default());
    let gone: Vec<u32> = roster.others(own).filter(|queue| !host::wake(*queue)).collect();
    if !gone.is_empty() {
        update_roster(|roster| roster.strike_off(&gone));
    }
}

/// The last good answer of the control plane.
pub fn pulse() -> Option<Pulse> {
    Pulse::decode(&host::shared(PULSE).0?)
}

/// Tells everybody of a good answer. What it names must be there before.
pub fn set_pulse(pulse: &Pulse) {
    host::set_shared(PULSE, &pulse.encode(), None);
}

/// The cached snapshot, encoded.
pub fn snapshot() -> Bytes {
    host::shared(SNAPSHOT).0.unwrap_or_default()
}

/// Leaves a snapshot for the others.
pub fn set_snapshot(cached: &Cached<'_>) {
    host::set_shared(SNAPSHOT, &cached.encode(), None);
}
