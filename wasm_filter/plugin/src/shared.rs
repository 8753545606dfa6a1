//! What all VMs of an Envoy share. It lives as long as any VM of the same `vm_id` does, so it outlives a change of
//! the module, whose old VMs go when the new ones are there.

use std::time::Duration;

use hfi_engine::rule::Rule;
use hfi_engine::sync::cache::Pulse;
use hfi_engine::sync::lease::{Candidate, Claim, Lease};
use hfi_engine::sync::quota::Quota;
use hfi_engine::sync::roster::{Roster, Signature};
use hfi_engine::sync::shelf::Spot;
use hfi_engine::sync::tally::Count;
use hfi_engine::tallies::Tally;

use crate::host;

const LEASE: &str = "hfi.lease";
const ROSTER: &str = "hfi.roster";
const SNAPSHOT: &str = "hfi.snapshot";
const PULSE: &str = "hfi.pulse";
/// Shelves: of rules, and of policies.
const COUNTS: &str = "hfi.counts";
const LIMITS: &str = "hfi.limits";

/// So often is a change tried again when others change the same value at the same moment. Whoever has still not got
/// through gives up: signs the roster again in a few seconds, or lets a request pass.
const ATTEMPTS: usize = 10;

/// Changes a value as `change` says, which is given what is there; `None` leaves it. `None`, too, when others were
/// faster each time.
fn update<T>(key: &str, change: impl Fn(Option<Vec<u8>>) -> Option<(Vec<u8>, T)>) -> Option<T> {
    for _ in 0..ATTEMPTS {
        let (written, cas) = host::shared(key);
        let (value, result) = change(written)?;
        if host::set_shared(key, &value, cas) {
            return Some(result);
        }
    }
    None
}

/// The same with a value on a shelf.
fn update_of<T>(
    shelf: &str,
    name: &str,
    change: impl Fn(Option<&[u8]>) -> Option<(Vec<u8>, T)>,
) -> Option<T> {
    let spot = Spot::of(shelf, name);
    update(&spot.key, |written| {
        let written = written.unwrap_or_default();
        let (value, result) = change(spot.find(&written))?;
        Some((spot.put(&written, &value), result))
    })
}

/// Takes, renews or gives back the lease; says whether one leads.
pub fn lead(me: Candidate, own: Signature, now: Duration) -> bool {
    let yields = !own.quiet && roster().has_quiet(own, now);
    let (written, cas) = host::shared(LEASE);
    let found = written.as_deref().and_then(Lease::decode);
    match Lease::claim(found, me, yields, now) {
        Claim::Take(lease) => host::set_shared(LEASE, &lease.encode(), cas),
        Claim::GiveBack => {
            host::set_shared(LEASE, &[], cas);
            wake_others(own.queue);
            false
        }
        Claim::Leave => false,
    }
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
    update(ROSTER, |written| {
        let mut roster = Roster::decode(&written.unwrap_or_default());
        change(&mut roster);
        Some((roster.encode(), ()))
    });
}

fn roster() -> Roster {
    Roster::decode(&host::shared(ROSTER).0.unwrap_or_default())
}

/// Wakes everybody else on the roster, and strikes off queues that do not exist.
pub fn wake_others(own: u32) {
    let gone: Vec<u32> = roster().others(own).filter(|queue| !host::wake(*queue)).collect();
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

/// The cached snapshot, as it was left.
pub fn snapshot() -> Vec<u8> {
    host::shared(SNAPSHOT).0.unwrap_or_default()
}

/// Leaves a snapshot for the others.
pub fn set_snapshot(written: &[u8]) {
    host::set_shared(SNAPSHOT, written, None);
}

/// Counts one more of a rule, and says how many there were before.
pub fn count(rule: &Rule, tally: Tally) -> Option<u64> {
    update_of(COUNTS, &[&*rule.policy, "/", &*rule.name].concat(), |written| {
        let found = written.and_then(Count::decode);
        // Every request that matches comes here, for as long as the policy is there: no more than a look, then.
        if let (Tally::Fired, Some(times), Some(count)) = (tally, rule.fault.times, found)
            && count.is_spent(rule.applied_at_ms, times)
        {
            return None;
        }
        let (count, before) = Count::one_more(found, rule.applied_at_ms, tally)?;
        Some((count.encode(), before))
    })
}

/// Admits a fault within the limits of a rule's policy, and takes a place for it if it is one that `holds` something
/// back. False when there is no room.
pub fn admit(vm: u64, rule: &Rule, holds: bool, now: Duration) -> bool {
    let admitted = update_of(LIMITS, &rule.policy, |written| {
        let mut quota = quota(written);
        quota.admit(vm, rule.limits, holds, now).then(|| (quota.encode(), ()))
    });
    admitted.is_some()
}

/// Says how many places a VM still holds.
pub fn keep_places(vm: u64, policy: &str, active: u32, now: Duration) {
    update_of(LIMITS, policy, |written| {
        let mut quota = quota(written);
        quota.keep(vm, active, now);
        Some((quota.encode(), ()))
    });
}

/// Gives a place back.
pub fn give_back(vm: u64, policy: &str) {
    update_of(LIMITS, policy, |written| {
        let mut quota = quota(Some(written?));
        quota.give_back(vm);
        Some((quota.encode(), ()))
    });
}

fn quota(written: Option<&[u8]>) -> Quota {
    written.map(Quota::decode).unwrap_or_default()
}
