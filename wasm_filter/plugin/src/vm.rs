//! What there is in this VM: its root contexts, and those requests of which something has to be remembered.
//!
//! A request that no rule is about leaves nothing here, and so costs nothing later: each further callback about it
//! finds no exchange. The host says that every context is over, so nothing here outlives its request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::abi::Action;
use crate::exchange::{self, Exchange};
use crate::host;
use crate::numbers::Numbers;
use crate::root::Root;

/// One is borrowed throughout a callback: the host makes no other from within it.
#[derive(Default)]
struct Vm {
    /// There is one for each bootstrap in use: as a rule one, and two while one takes the place of another.
    roots: RefCell<Vec<Root>>,
    exchanges: RefCell<HashMap<u32, Exchange, BuildHasherDefault<Numbers>>>,
    /// That of the context that was created last, which is the one whose request comes next.
    parent: Cell<u32>,
}

thread_local! {
    static VM: Vm = Vm::default();
}

/// The VM begins, or another root context in it.
pub fn started() {
    host::log_panics();
    host::info(&format!("HFI filter {}, build {}", env!("CARGO_PKG_VERSION"), BUILD.unwrap_or("local")));
}

/// The digest of the sources, where the build gives it.
const BUILD: Option<&str> = option_env!("HFI_BUILD");

/// There is a context; a root context has the parent 0.
pub fn created(context: u32, parent: u32) {
    VM.with(|vm| match parent {
        // The host may start one that is there again.
        0 if vm.roots.borrow().iter().any(|root| root.is(context)) => {}
        0 => vm.roots.borrow_mut().push(Root::new(context)),
        parent => vm.parent.set(parent),
    });
}

/// A callback about a root context.
pub fn of_root(context: u32, then: impl FnOnce(&mut Root)) {
    VM.with(|vm| vm.roots.borrow_mut().iter_mut().find(|root| root.is(context)).map(then));
}

/// A request begins: that of the context that was created last.
pub fn request(context: u32) -> Action {
    VM.with(|vm| {
        let roots = vm.roots.borrow();
        look(&roots, context);
        let Some(root) = roots.iter().find(|root| root.is(vm.parent.get())) else { return Action::Continue };
        let (action, remembered) = exchange::begin(context, root.filter());
        if let Some(exchange) = remembered {
            vm.exchanges.borrow_mut().insert(context, exchange);
        }
        action
    })
}

/// The response to a request is there.
pub fn response(context: u32, then: impl FnOnce(&mut Exchange) -> Action) -> Action {
    VM.with(|vm| look(&vm.roots.borrow(), context));
    of_exchange(context, then)
}

/// A callback about a request that has begun.
pub fn of_exchange(context: u32, then: impl FnOnce(&mut Exchange) -> Action) -> Action {
    VM.with(|vm| vm.exchanges.borrow_mut().get_mut(&context).map_or(Action::Continue, then))
}

/// A context is over.
pub fn deleted(context: u32) {
    VM.with(|vm| {
        let exchange = vm.exchanges.borrow_mut().remove(&context);
        if exchange.is_none() {
            vm.roots.borrow_mut().retain(|root| !root.is(context));
        }
    });
}

/// Lets go of what is due, in passing.
fn look(roots: &[Root], context: u32) {
    for root in roots {
        root.filter().waiting.look(context);
    }
}
