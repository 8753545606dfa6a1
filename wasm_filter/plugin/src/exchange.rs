//! One request and its response.

use std::rc::Rc;
use std::time::Duration;

use crate::abi::Action;
use crate::answer::{self, MARK, name_of};
use crate::body::{After, Body};
use crate::filter::{Awaiting, Course, Filter, Treatment};
use crate::host::stream::{self, Side};
use crate::rewrite::{self, Length, Rest};
use crate::tallies::Place;
use crate::waiting::{Held, Then};

/// What is remembered of one request.
pub struct Exchange {
    context: u32,
    filter: Rc<Filter>,
    response: Response,
    body: Body,
    held_until: Option<Duration>,
}

/// What is to happen when the response is there.
#[derive(Default)]
enum Response {
    #[default]
    Pass,
    Ask(Box<Awaiting>),
    Treat(Box<Treatment>),
}

impl Exchange {
    fn new(context: u32, filter: &Rc<Filter>, response: Response) -> Exchange {
        Exchange { context, filter: Rc::clone(filter), response, body: Body::Kept, held_until: None }
    }

    /// Whether it is of use later: to what comes of the request, or to the place that it frees.
    fn matters(&self) -> bool {
        self.held_until.is_some() || !matches!(self.response, Response::Pass)
    }

    fn treat_request(&mut self, mut treatment: Box<Treatment>) -> Action {
        let injection = &treatment.injection;
        name_for_logs(&treatment);
        if let Some(rewrite) = injection.request() {
            rewrite::edit(Side::Request, &rewrite.headers);
        }
        if let Some(kbps) = injection.response().and_then(|rewrite| rewrite.bandwidth_kbps) {
            stream::replace_header(Side::Request, THROUGHPUT, &kbps.to_string());
        }
        let wait = injection.wait;
        if injection.abort().is_some() {
            match wait {
                Some(wait) => {
                    let Treatment { injection, place, .. } = *treatment;
                    self.hold(wait, Then::Abort(injection), place);
                }
                None => answer::abort(injection),
            }
            return Action::Pause;
        }
        // Its place is free when it is held back no more.
        let place = if injection.response_wait.is_none() { treatment.place.take() } else { None };
        self.response = Response::Treat(treatment);
        match wait {
            Some(wait) => self.hold(wait, Then::Resume(Side::Request), place),
            None => Action::Continue,
        }
    }

    fn treat_response(&mut self, treatment: Treatment, ends: bool) -> Action {
        let Treatment { injection, place, is_head } = treatment;
        // First, for what replaces the whole response takes its headers along.
        if injection.rule.mark {
            stream::replace_header(Side::Response, MARK, &name_of(&injection.rule));
        }
        let length = if is_head {
            Length::Head
        } else if ends {
            Length::None
        } else {
            Length::Some
        };
        let rest = injection.response().map(|rewrite| rewrite::respond(rewrite, length));
        let then = match rest {
            Some(Rest::Whole(reply)) => Then::Reply(reply),
            Some(Rest::Of(body)) => {
                self.body = body;
                Then::Resume(Side::Response)
            }
            None => Then::Resume(Side::Response),
        };
        match (injection.response_wait, then) {
            (Some(wait), then) => self.hold(wait, then, place),
            (None, Then::Reply(reply)) => {
                reply.send();
                Action::Pause
            }
            // From an upstream of HTTP/2, or from Envoy itself, the end comes with the last chunk, and a chunk that passes
            // takes it along. Of what was held back whole, the end can be kept back (see `on_response_body`).
            (None, _) if matches!(self.body, Body::Cut(_)) => {
                let moment = Held { then: Then::GoOn(Side::Response), place: None };
                self.held_until = Some(self.filter.waiting.hold(self.context, GATHER, moment));
                Action::Pause
            }
            (None, _) => Action::Continue,
        }
    }

    fn hold(&mut self, wait: Duration, then: Then, place: Option<Place>) -> Action {
        let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.filter.metrics.delay_ms.record(milliseconds);
        self.held_until = Some(self.filter.waiting.hold(self.context, wait, Held { then, place }));
        Action::Pause
    }
}

/// A response that is to be cut is held back for so long: a small one is there as a whole then.
const GATHER: Duration = Duration::from_millis(5);

/// What was let through may still wait for the client's window; a reset takes away what does.
const FLUSH: Duration = Duration::from_millis(100);

/// Envoy's own fault filter, behind this one, takes its bandwidth from it.
const THROUGHPUT: &str = "x-envoy-fault-throughput-response";

/// Access logs have it as `%FILTER_STATE(wasm.hfi.fault:PLAIN)%`.
fn name_for_logs(treatment: &Treatment) {
    stream::set_state("hfi.fault", &name_of(&treatment.injection.rule));
}

/// Sees to the request of a context, and says what to remember of it.
///
/// Pausing here makes Envoy hold back body and trailers as well, with flow control, so that a large body waits in the
/// client and not in our memory.
pub fn begin(context: u32, filter: &Rc<Filter>) -> (Action, Option<Exchange>) {
    match filter.decide() {
        Course::Pass => (Action::Continue, None),
        Course::Await(awaiting) => {
            (Action::Continue, Some(Exchange::new(context, filter, Response::Ask(awaiting))))
        }
        Course::Inject(treatment) => {
            let mut exchange = Exchange::new(context, filter, Response::Pass);
            let action = exchange.treat_request(treatment);
            (action, exchange.matters().then_some(exchange))
        }
    }
}

impl Exchange {
    /// Its response is there.
    pub fn on_response_headers(&mut self, ends: bool) -> Action {
        match std::mem::take(&mut self.response) {
            Response::Pass => Action::Continue,
            Response::Treat(treatment) => self.treat_response(*treatment, ends),
            Response::Ask(awaiting) => match self.filter.decide_response(&awaiting, rewrite::status()) {
                Some(treatment) => {
                    name_for_logs(&treatment);
                    self.treat_response(*treatment, ends)
                }
                None => Action::Continue,
            },
        }
    }

    /// A chunk of its body passes.
    pub fn on_response_body(&mut self, size: usize, ends: bool) -> Action {
        match self.body.pass(size, ends) {
            After::GoesOn => Action::Continue,
            After::EndsSoon => {
                let reset = Held { then: Then::Reset, place: None };
                self.held_until = Some(self.filter.waiting.hold(self.context, FLUSH, reset));
                match ends {
                    false => Action::Continue,
                    // Trailers are the end now, and they are asked about like everything that was held back.
                    true if self.filter.waiting.is_letting_go(self.context) => {
                        stream::add_trailer(MARK, "");
                        Action::Continue
                    }
                    true => Action::Pause,
                }
            }
            After::NeverEnds => Action::Pause,
        }
    }

    /// What comes behind it passes.
    pub fn on_response_trailers(&mut self) -> Action {
        if self.body.is_over() { Action::Pause } else { Action::Continue }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(deadline) = self.held_until {
            self.filter.waiting.let_go(self.context, deadline);
        }
    }
}
