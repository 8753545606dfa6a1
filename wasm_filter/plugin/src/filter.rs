//! What the requests of one root context share: rules, held requests, the one timer.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hfi_engine::chance::SeededRolls;
use hfi_engine::decide::Verdict;
use hfi_engine::fault::Abort;
use hfi_engine::probe::Probes;
use hfi_engine::rule::Rule;
use hfi_engine::sync::delays::{Delays, period_ms};

use crate::active::Active;
use crate::host;
use crate::metrics::Metrics;

const NEVER: Duration = Duration::MAX;

/// Shared by a root context and the contexts of its requests.
pub struct Filter {
    root: u32,
    pub metrics: Metrics,
    probes: RefCell<Probes>,
    rolls: RefCell<SeededRolls>,
    active: RefCell<Option<Rc<Active>>>,
    stopped: Cell<bool>,
    delays: RefCell<Delays<Held>>,
    /// When the timer of the root context rings next; the host starts it anew after each tick.
    rings_at: Cell<Duration>,
}

/// A request that is being held, by what is to happen to it.
pub enum Held {
    /// It goes on.
    Resume,
    /// It is answered as this rule says.
    Abort(Rc<Rule>),
}

/// What becomes of a request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    GoesOn,
    Answered,
    HeldUntil(Duration),
}

impl Filter {
    pub fn new(root: u32) -> Filter {
        Filter {
            root,
            metrics: Metrics::default(),
            probes: RefCell::default(),
            rolls: RefCell::new(SeededRolls::new(0)),
            active: RefCell::default(),
            stopped: Cell::new(false),
            delays: RefCell::default(),
            rings_at: Cell::new(NEVER),
        }
    }

    /// Takes over a bootstrap. `seed` sets this VM's rolls apart from those of others.
    pub fn configure(&self, probes: Probes, seed: u64) {
        self.probes.replace(probes);
        self.rolls.replace(SeededRolls::new(seed));
    }

    /// What requests run by.
    pub fn active(&self) -> Option<Rc<Active>> {
        self.active.borrow().clone()
    }

    /// From the next request on, they run by this.
    pub fn activate(&self, active: Active) {
        self.active.replace(Some(Rc::new(active)));
    }

    /// Whether faults stop, for want of word from the control plane.
    pub fn stop_faults(&self, stopped: bool) {
        self.stopped.set(stopped);
    }

    /// Decides about the request of `context`, which is the active one, and sees to it.
    pub fn treat(&self, context: u32) -> Course {
        self.metrics.total_requests.add(1);
        if self.stopped.get() {
            return Course::GoesOn;
        }
        let Some(active) = self.active() else { return Course::GoesOn };
        let verdict = active.decide(&self.probes.borrow(), &mut *self.rolls.borrow_mut(), &self.metrics);
        let Verdict::Inject { rule, delay, abort } = verdict else { return Course::GoesOn };
        let Some(rule) = active.rule(rule) else { return Course::GoesOn };
        match (delay, abort) {
            (Some(wait), None) => self.hold(context, wait, Held::Resume),
            (Some(wait), Some(_)) => self.hold(context, wait, Held::Abort(Rc::clone(rule))),
            (None, Some(abort)) => {
                respond(rule, abort);
                Course::Answered
            }
            (None, None) => Course::GoesOn,
        }
    }

    fn hold(&self, context: u32, wait: Duration, held: Held) -> Course {
        let now = host::monotonic();
        let deadline = now + wait;
        self.delays.borrow_mut().hold(deadline, context, held);
        self.metrics.active_delays.add(1);
        if deadline < self.rings_at.get() && host::enter(self.root) {
            self.arm(now, deadline);
            host::enter(context);
        }
        Course::HeldUntil(deadline)
    }

    /// A request is over, however it ended: it frees its place.
    pub fn let_go(&self, context: u32, deadline: Duration) {
        if self.delays.borrow_mut().let_go(deadline, context).is_some() {
            self.metrics.active_delays.add(-1);
        }
    }

    /// Sees to the held requests whose time has come. To be called by the root context.
    pub fn release_due(&self, now: Duration) {
        let mut left = false;
        while let Some((context, held)) = self.pop_due(now) {
            self.metrics.active_delays.add(-1);
            if !host::enter(context) {
                continue;
            }
            left = true;
            match held {
                Held::Resume => host::resume(),
                Held::Abort(rule) => match &rule.fault.abort {
                    Some(abort) => respond(&rule, abort),
                    None => host::resume(),
                },
            }
        }
        if left {
            host::enter(self.root);
        }
    }

    fn pop_due(&self, now: Duration) -> Option<(u32, Held)> {
        self.delays.borrow_mut().pop_due(now)
    }

    /// Has the timer ring at `other`, or for the next held request if that is earlier. To be called by the root
    /// context.
    pub fn rearm(&self, now: Duration, other: Duration) {
        let next = self.delays.borrow().next().map_or(other, |deadline| deadline.min(other));
        self.arm(now, next);
    }

    fn arm(&self, now: Duration, at: Duration) {
        let period = period_ms(now, at);
        self.rings_at.set(now + Duration::from_millis(period.into()));
        host::set_tick_period(period);
    }

    /// Stops the timer: the host would go on ringing for a context that is gone.
    pub fn disarm(&self) {
        self.rings_at.set(NEVER);
        host::set_tick_period(0);
    }
}

/// Answers the request of the active context, and says who did: nobody should take an injected fault for a real
/// one.
fn respond(rule: &Rule, abort: &Abort) {
    let fault = format!("{}/{}", rule.policy, rule.name);
    let mut headers: Vec<(&str, &str)> =
        abort.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    headers.push(("x-hfi-fault", &fault));
    host::respond(abort.status, headers, abort.body.as_deref().map(str::as_bytes));
}
