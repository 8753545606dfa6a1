//! What is held back, and the one timer behind it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hfi_engine::injection::Injection;
use hfi_engine::sync::delays::{Delays, period_ms};

use crate::answer::{self, Reply};
use crate::host;
use crate::host::stream::{self, Side};
use crate::metrics::Metrics;
use crate::tallies::Place;

const NEVER: Duration = Duration::MAX;

/// The requests and responses of one root context that are held back.
pub struct Waiting {
    metrics: Rc<Metrics>,
    /// What goes on.
    going: RefCell<Delays<Held>>,
    /// What is answered or reset. Only by the timer: the host takes an answer in a call about one stream for an end of
    /// that stream, whichever it is for, and leaves it standing.
    ending: RefCell<Delays<Held>>,
    /// When the timer of the root context rings next; the host starts it anew after each tick.
    rings_at: Cell<Duration>,
    /// Whose responses were let go as a whole, and have not passed yet.
    let_go: RefCell<Vec<u32>>,
}

/// What happens to it when its time has come, and the place that it frees then.
pub struct Held {
    pub then: Then,
    pub place: Option<Place>,
}

/// What happens to a stream.
pub enum Then {
    /// It goes on.
    Resume(Side),
    /// It is answered.
    Abort(Injection),
    /// Its response is replaced.
    Reply(Reply),
    /// It goes on, after a moment that nobody asked for.
    GoOn(Side),
    /// It is reset.
    Reset,
}

impl Then {
    /// Whether it counts as a delay. Others wait for reasons of their own.
    fn is_delay(&self) -> bool {
        !matches!(self, Then::Reset | Then::GoOn(_))
    }

    fn goes_on(&self) -> bool {
        matches!(self, Then::Resume(_) | Then::GoOn(_))
    }
}

impl Waiting {
    pub fn new(metrics: Rc<Metrics>) -> Waiting {
        Waiting {
            metrics,
            going: RefCell::default(),
            ending: RefCell::default(),
            rings_at: Cell::new(NEVER),
            let_go: RefCell::default(),
        }
    }

    /// Holds the stream of `context`, which is the active one. Says until when, which names it.
    pub fn hold(&self, context: u32, wait: Duration, held: Held) -> Duration {
        let now = host::monotonic();
        let deadline = now.saturating_add(wait);
        self.count(&held, 1);
        let delays = if held.then.goes_on() { &self.going } else { &self.ending };
        delays.borrow_mut().hold(deadline, context, held);
        if deadline < self.rings_at.get() {
            self.arm(now, deadline);
        }
        deadline
    }

    /// A stream is over, however it ended: it frees its place.
    pub fn let_go(&self, context: u32, deadline: Duration) {
        let going = self.going.borrow_mut().let_go(deadline, context);
        if let Some(held) = going.or_else(|| self.ending.borrow_mut().let_go(deadline, context)) {
            self.count(&held, -1);
        }
    }

    fn count(&self, held: &Held, change: i64) {
        if held.then.is_delay() {
            self.metrics.active_delays.add(change);
        }
    }

    /// Lets go of what is due, in passing: the call is about the stream of `context`. A timer of Envoy's rings when the
    /// kernel's coarse clock has moved on, which is every 4 ms on many machines; a busy worker is awake more often.
    pub fn look(&self, context: u32) {
        if self.going.borrow().is_empty() {
            return;
        }
        let now = host::monotonic();
        if self.going.borrow().is_due(now) {
            self.release(&self.going, now, context);
        }
    }

    /// Sees to all that is held and whose time has come. To be called by the root context, `root`.
    pub fn release_due(&self, now: Duration, root: u32) {
        // Those without a body, at the most: what was let go has long passed.
        self.let_go.borrow_mut().clear();
        self.release(&self.going, now, root);
        self.release(&self.ending, now, root);
    }

    /// Comes back to the context that the call is about.
    fn release(&self, delays: &RefCell<Delays<Held>>, now: Duration, context: u32) {
        let mut left = false;
        while let Some((held_context, held)) = pop_due(delays, now) {
            self.count(&held, -1);
            drop(held.place);
            if !host::enter(held_context) {
                continue;
            }
            left = true;
            match held.then {
                Then::Resume(side) | Then::GoOn(side) => {
                    if side == Side::Response && is_whole() {
                        self.let_go.borrow_mut().push(held_context);
                    }
                    stream::resume(side);
                }
                Then::Abort(injection) => answer::abort(&injection),
                Then::Reply(reply) => reply.send(),
                Then::Reset => stream::reset(Side::Response),
            }
        }
        if left {
            host::enter(context);
        }
    }

    /// Whether the last chunk of the stream of `context`, which passes now, does so because it was let go.
    pub fn is_letting_go(&self, context: u32) -> bool {
        let mut let_go = self.let_go.borrow_mut();
        let at = let_go.iter().position(|one| *one == context);
        at.map(|at| let_go.swap_remove(at)).is_some()
    }

    /// Has the timer ring at `other`, or for what is held if that is earlier.
    pub fn rearm(&self, now: Duration, other: Duration) {
        let (going, ending) = (self.going.borrow().next(), self.ending.borrow().next());
        let next = going.into_iter().chain(ending).fold(other, Duration::min);
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

/// Whether all of the response of the active context is there. Then its last chunk is held back with it, and else that
/// is still to come. What Envoy answers itself is there at once.
fn is_whole() -> bool {
    host::property(&["response", "backend_latency"]).is_some()
        || host::property(&["response", "code_details"]).is_some_and(|details| details != b"via_upstream")
}

/// In a line of its own, so that nothing stays borrowed.
fn pop_due(delays: &RefCell<Delays<Held>>, now: Duration) -> Option<(u32, Held)> {
    delays.borrow_mut().pop_due(now)
}
