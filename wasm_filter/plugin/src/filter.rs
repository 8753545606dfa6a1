//! What the requests of one root context share, and what each of them is to get.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use hfi_engine::chance::SeededRolls;
use hfi_engine::decide::{Desk, Verdict, decide, decide_response};
use hfi_engine::injection::Injection;
use hfi_engine::probe::Probes;
use hfi_engine::request::RequestView;

use crate::active::Active;
use crate::counting::Counting;
use crate::metrics::Metrics;
use crate::tallies::{Holding, Place, SharedTallies};
use crate::view::View;
use crate::waiting::Waiting;

/// Shared by a root context and the contexts of its requests.
pub struct Filter {
    pub metrics: Rc<Metrics>,
    pub waiting: Waiting,
    probes: RefCell<Probes>,
    rolls: RefCell<SeededRolls>,
    active: RefCell<Option<Rc<Active>>>,
    stale: Cell<bool>,
    /// This VM, beside others of this Envoy.
    vm: Cell<u64>,
    holding: Rc<Holding>,
    busy: Cell<bool>,
}

/// What a request gets.
pub enum Course {
    Pass,
    /// Ask again when the response is there.
    Await(Box<Awaiting>),
    Inject(Box<Treatment>),
}

/// Rules that look at the response, of the snapshot that the request began with.
pub struct Awaiting {
    active: Rc<Active>,
    rules: Vec<usize>,
    request: View,
}

/// A fault, and the place within its policy's limits that it takes.
pub struct Treatment {
    pub injection: Injection,
    pub place: Option<Place>,
    /// Whether the request is a HEAD, so that its response has no body; where that matters.
    pub is_head: bool,
}

impl Default for Filter {
    fn default() -> Self {
        let metrics = Rc::new(Metrics::default());
        Filter {
            waiting: Waiting::new(Rc::clone(&metrics)),
            metrics,
            probes: RefCell::default(),
            rolls: RefCell::new(SeededRolls::new(0)),
            active: RefCell::default(),
            stale: Cell::new(false),
            vm: Cell::new(0),
            holding: Rc::default(),
            busy: Cell::new(false),
        }
    }
}

impl Filter {
    /// Takes over a bootstrap. `id` sets this VM's rolls and places apart from those of others.
    pub fn configure(&self, probes: Probes, id: u64) {
        self.probes.replace(probes);
        self.rolls.replace(SeededRolls::new(id));
        self.vm.set(id);
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
    pub fn set_stale(&self, stale: bool) {
        self.stale.set(stale);
    }

    /// Whether there has ever been a request.
    pub fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Says that what was taken of policies' limits is still held. To be called every few seconds.
    pub fn keep_places(&self, now: Duration) {
        self.holding.keep(now);
    }

    /// Decides about the request of the active context.
    pub fn decide(&self) -> Course {
        self.busy.set(true);
        self.metrics.total_requests.add(1);
        let Some(active) = self.active().filter(|active| !active.rules.is_empty()) else {
            return Course::Pass;
        };
        let request = View::default();
        let (verdict, tallies) = self.at_desk(&active, |desk| decide(&active.rules, &request, desk));
        match verdict {
            Verdict::Pass => Course::Pass,
            Verdict::Await(rules) => {
                let request = request.kept();
                Course::Await(Box::new(Awaiting { active, rules, request }))
            }
            Verdict::Inject(injection) => Course::Inject(Treatment::new(injection, tallies, &request)),
        }
    }

    /// Decides about a response, by its status.
    pub fn decide_response(&self, awaiting: &Awaiting, status: u16) -> Option<Box<Treatment>> {
        let Awaiting { active, rules, request } = awaiting;
        let (injection, tallies) =
            self.at_desk(active, |desk| decide_response(&active.rules, rules, request, status, desk));
        Some(Treatment::new(injection?, tallies, request))
    }

    fn at_desk<A>(
        &self,
        active: &Active,
        ask: impl FnOnce(&mut Desk<'_, SeededRolls, SharedTallies<'_>, Counting<'_>>) -> A,
    ) -> (A, SharedTallies<'_>) {
        let mut tallies = SharedTallies::new(self.vm.get(), &self.holding);
        let answer = ask(&mut Desk {
            now_ms: active.now_ms(),
            stale: self.stale.get(),
            probes: &self.probes.borrow(),
            rolls: &mut self.rolls.borrow_mut(),
            tallies: &mut tallies,
            observer: &mut Counting { places: &active.places, metrics: &self.metrics },
        });
        (answer, tallies)
    }
}

impl Treatment {
    fn new(injection: Injection, tallies: SharedTallies<'_>, request: &View) -> Box<Treatment> {
        let is_head = injection.response().is_some() && *request.method() == *b"HEAD";
        Box::new(Treatment { injection, place: tallies.into_place(), is_head })
    }
}
