//! What the targets share: requests to ask rules about.

use hfi_engine::request::{Request, RequestView, Text};
use hfi_engine::rules::Rules;

/// A request with one header of every name.
pub struct View {
    /// The whole path, with its query.
    pub path: &'static [u8],
    /// The value of every header.
    pub value: &'static [u8],
}

/// Requests that rules of the seeds match, and others.
pub const VIEWS: [View; 4] = [
    View { path: b"/svc-1/users/12/orders?q=1", value: b"beta" },
    View { path: b"/a", value: b"" },
    View { path: b"/pkg.Svc/Call", value: b"application/grpc" },
    View { path: b"", value: b"\xff" },
];

impl RequestView for View {
    fn method(&self) -> Text<'_> {
        b"GET".into()
    }

    fn path(&self) -> Text<'_> {
        self.path.into()
    }

    fn any_value(&self, _name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        test(self.value)
    }
}

/// The candidates for every request. They must end, and every rule must be there or not, without a trap.
pub fn ask(rules: &impl Rules) -> Vec<Vec<usize>> {
    let candidates = |view: &View| rules.candidates(&Request::new(view)).collect::<Vec<_>>();
    let asked: Vec<Vec<usize>> = VIEWS.iter().map(candidates).collect();
    // Damaged runs may name the same rules over and over.
    asked.iter().flat_map(|places| places.iter().take(64)).for_each(|at| drop(rules.rule(*at)));
    asked
}
