//! One request and its response.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::filter::{Course, Filter};

/// The context of one request.
pub struct Exchange {
    context: u32,
    filter: Rc<Filter>,
    held_until: Option<Duration>,
}

impl Exchange {
    pub fn new(context: u32, filter: Rc<Filter>) -> Exchange {
        Exchange { context, filter, held_until: None }
    }
}

impl HttpContext for Exchange {
    /// Pausing here makes Envoy hold back body and trailers as well, with flow control, so that a large body
    /// waits in the client and not in our memory.
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.filter.treat(self.context) {
            Course::GoesOn => Action::Continue,
            Course::Answered => Action::Pause,
            Course::HeldUntil(deadline) => {
                self.held_until = Some(deadline);
                Action::Pause
            }
        }
    }
}

impl Context for Exchange {
    fn on_done(&mut self) -> bool {
        if let Some(deadline) = self.held_until.take() {
            self.filter.let_go(self.context, deadline);
        }
        true
    }
}
