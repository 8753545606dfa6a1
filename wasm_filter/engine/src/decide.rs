//! What happens to one request (design, section 3, decisions 3, 4, 5 and 8).
//!
//! 1. Rules are asked in the snapshot's order. The first enforced rule that matches and fires decides.
//! 2. A rule whose end has come never fires, nor does any while the rules are stale.
//! 3. A rule never fires for a probe, unless it includes probes.
//! 4. A rule that matches is counted; then it rolls, once. A miss sends the search on.
//! 5. A part with a percentage of its own rolls once more. When every part misses, the rule has decided all the
//!    same, and nothing is injected.
//! 6. A shadow rule does all of this, but what it would inject is only counted, and the search goes on.
//! 7. A rule that has fired as often as it may, whose turn is to pass, or whose policy is at its limits, is passed
//!    over, and the search goes on.
//! 8. A rule that looks at the response is asked when the response is there, if no rule has decided before.

use std::rc::Rc;

use crate::chance::Rolls;
use crate::fate::Fate;
use crate::injection::Injection;
pub use crate::observer::{Observer, Skip};
use crate::probe::Probes;
use crate::request::{Request, RequestView};
use crate::rule::{Limits, Mode, Rule};
use crate::rules::Rules;
use crate::tallies::{Tallies, Tally};

/// What to do with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Let it go on untouched.
    Pass,
    /// Let it go on; when the response is there, ask these rules: [`decide_response`].
    Await(Vec<usize>),
    /// Inject a fault.
    Inject(Injection),
}

/// What a decision needs beside rules and request.
pub struct Desk<'d, R, T, O> {
    /// Unix time by the server's clock.
    pub now_ms: u64,
    /// Whether nothing was heard from the control plane for too long.
    pub stale: bool,
    /// What counts as a probe.
    pub probes: &'d Probes,
    /// Chance.
    pub rolls: &'d mut R,
    /// What all workers count together.
    pub tallies: &'d mut T,
    /// Who counts for people.
    pub observer: &'d mut O,
}

/// What happens to the request.
pub fn decide<V: RequestView, R: Rolls, T: Tallies, O: Observer>(
    rules: &impl Rules,
    view: &V,
    desk: &mut Desk<'_, R, T, O>,
) -> Verdict {
    let request = &Request::new(view);
    let mut is_probe = None;
    let mut awaiting = Vec::new();
    for at in rules.candidates(request) {
        let Some(rule) = rules.rule(at) else { continue };
        if rule.mismatch(request).is_some() {
            continue;
        }
        // Asked last, and once: few requests match anything, and it costs a look at user-agent.
        if !rule.include_probes && *is_probe.get_or_insert_with(|| desk.probes.kind(request).is_some()) {
            desk.observer.skipped(at, &rule, Skip::Probe);
        } else if rule.matching.response.is_some() {
            awaiting.push(at);
        } else if let Some(decided) = desk.ask(at, rule, request) {
            return decided.map_or(Verdict::Pass, Verdict::Inject);
        }
    }
    if awaiting.is_empty() { Verdict::Pass } else { Verdict::Await(awaiting) }
}

/// What happens to the response, by the rules that waited for it. `view` is still the request.
pub fn decide_response<V: RequestView, R: Rolls, T: Tallies, O: Observer>(
    rules: &impl Rules,
    awaiting: &[usize],
    view: &V,
    status: u16,
    desk: &mut Desk<'_, R, T, O>,
) -> Option<Injection> {
    let request = &Request::new(view);
    for &at in awaiting {
        let Some(rule) = rules.rule(at) else { continue };
        if !rule.matching.response.as_ref().is_some_and(|wanted| wanted.contains(&status)) {
            continue;
        }
        if let Some(decided) = desk.ask(at, rule, request) {
            return decided;
        }
    }
    None
}

impl<R: Rolls, T: Tallies, O: Observer> Desk<'_, R, T, O> {
    /// Asks one rule that matches. `None`: the search goes on; `Some(None)`: it has decided, and injects nothing.
    fn ask<V: RequestView>(
        &mut self,
        at: usize,
        rule: Rc<Rule>,
        request: &Request<'_, V>,
    ) -> Option<Option<Injection>> {
        if let Some(over) = self.over(&rule) {
            self.observer.skipped(at, &rule, over);
            return None;
        }
        self.observer.matched(at, &rule);
        let drawn = match self.fire(at, &rule, request) {
            Ok(drawn) => drawn,
            Err(why) => {
                self.observer.skipped(at, &rule, why);
                return None;
            }
        };
        let kind = drawn.as_ref().map(Injection::kind);
        match (rule.mode, kind) {
            (Mode::Shadow, Some(kind)) => {
                self.observer.shadowed(at, &rule, kind);
                None
            }
            (Mode::Shadow, None) => None,
            (Mode::Enforce, Some(kind)) => {
                self.observer.injected(at, &rule, kind);
                Some(drawn)
            }
            (Mode::Enforce, None) => Some(None),
        }
    }

    fn over(&self, rule: &Rule) -> Option<Skip> {
        if rule.ended(self.now_ms) {
            return Some(Skip::Expired);
        }
        self.stale.then_some(Skip::Stale)
    }

    /// Rolls, counts, and draws what is to be injected. `None`: it fires, and every part misses.
    fn fire<V: RequestView>(
        &mut self,
        at: usize,
        rule: &Rc<Rule>,
        request: &Request<'_, V>,
    ) -> Result<Option<Injection>, Skip> {
        let fate = self.fate(rule, request)?;
        let fires = match fate {
            Some(fate) => rule.fault.chance.covers(fate.roll()),
            None => rule.fault.chance.fires(self.rolls),
        };
        if !fires {
            return Err(Skip::Percentage);
        }
        let turn = self.turn(rule)?;
        let drawn = match fate {
            Some(fate) => Injection::draw(at, rule, turn, &mut fate.rolls()),
            None => Injection::draw(at, rule, turn, self.rolls),
        };
        // A rehearsal takes no place from what is real.
        let limited = rule.mode == Mode::Enforce && rule.limits != Limits::default();
        match drawn {
            Some(drawn) if limited && !self.tallies.admit(rule, drawn.hold()) => Err(Skip::Limit),
            drawn => Ok(drawn),
        }
    }

    /// What decides in the place of chance, for a sticky rule and for a policy with a seed. Nobody is asked, and
    /// nothing counted, where nothing is left to chance.
    fn fate<V: RequestView>(&mut self, rule: &Rule, request: &Request<'_, V>) -> Result<Option<Fate>, Skip> {
        if !rule.fault.rolls() {
            return Ok(None);
        }
        let value = rule.fault.sticky.as_ref().and_then(|header| request.first_value(header));
        match (value, rule.seed) {
            (Some(value), _) => Ok(Some(Fate::of_value(rule, &value))),
            (None, Some(_)) => {
                let before = self.tallies.count(rule, Tally::Matched).ok_or(Skip::Percentage)?;
                Ok(Some(Fate::of_turn(rule, before)))
            }
            (None, None) => Ok(None),
        }
    }

    /// Counts a firing, and says which step of the sequence it is, if there is one.
    fn turn(&mut self, rule: &Rule) -> Result<Option<usize>, Skip> {
        let fault = &rule.fault;
        if fault.times.is_none() && fault.sequence.is_empty() {
            return Ok(None);
        }
        let before = self.tallies.count(rule, Tally::Fired).ok_or(Skip::Times)?;
        if fault.times.is_some_and(|times| before >= times) {
            return Err(Skip::Times);
        }
        // No sequence: no remainder, and no step.
        let step =
            before.checked_rem(fault.sequence.len() as u64).and_then(|step| usize::try_from(step).ok());
        match step.and_then(|step| fault.sequence.get(step)) {
            Some(None) => Err(Skip::Times),
            _ => Ok(step),
        }
    }
}
