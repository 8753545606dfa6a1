//! The rules of a snapshot, as decisions see them.

use std::rc::Rc;

use crate::request::{Request, RequestView};
use crate::rule::Rule;

/// Rules in the total order, each known by its place in it, from 0.
pub trait Rules {
    /// The places of the rules that may match, ascending: every rule that does match is among them. Asks the
    /// request for no more than it must.
    fn candidates<V: RequestView>(&self, request: &Request<'_, V>) -> impl Iterator<Item = usize>;

    /// The rule of that place; `None` when there is none, or when it cannot be run.
    fn rule(&self, at: usize) -> Option<Rc<Rule>>;
}
