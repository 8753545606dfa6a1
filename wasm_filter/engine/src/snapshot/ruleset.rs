//! The rules of a snapshot as requests run by them: an image, and those of its rules that somebody needed.
//!
//! To take over ten thousand rules is to take their bytes over. A rule is compiled when it is first a candidate,
//! and kept. The next snapshot finds it there by the digest of its JSON, so that a change of one rule costs one
//! rule; what one snapshot never needed, the one after the next has forgotten.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::image::{Image, Section};
use crate::envelope::compile;
use crate::index::Index;
use crate::request::{Request, RequestView};
use crate::rule::Rule;
use crate::rules::Rules;

/// What the compiled rules of one set may take together. Beyond it, all are forgotten, and compiled again as they
/// are needed: few rules get requests at one time.
const KEPT_BYTES: usize = 8 << 20;
/// What a compiled rule takes beside its text and its patterns.
const RULE_BYTES: usize = 1 << 10;

/// The compiled rules by the digest of their JSON.
type Kept = Rc<RefCell<HashMap<u64, Rc<Rule>>>>;

/// What has become of a rule.
#[derive(Debug, Clone, Default)]
enum Place {
    #[default]
    Unread,
    /// The image is damaged here.
    Unusable,
    Ready(Rc<Rule>),
}

/// Rules in the total order, ready to be asked.
#[derive(Debug, Default)]
pub struct RuleSet {
    image: Image,
    index: Index,
    /// What has become of each rule.
    places: RefCell<Vec<Place>>,
    kept: Kept,
    kept_bytes: Cell<usize>,
    /// What the set before had compiled.
    inherited: Option<Kept>,
}

impl RuleSet {
    /// Takes an image over; `None` when it is none of this form. The rules that `previous` has compiled are taken
    /// over where they are the same.
    #[must_use]
    pub fn open(image: Vec<u8>, previous: Option<&RuleSet>) -> Option<RuleSet> {
        let image = Image::open(image)?;
        std::str::from_utf8(image.section(Section::Epoch)).ok()?;
        let index = Index::open(&image)?;
        let places = RefCell::new(vec![Place::Unread; image.len()]);
        let inherited = previous.map(|previous| Rc::clone(&previous.kept));
        Some(RuleSet { image, index, places, inherited, ..RuleSet::default() })
    }

    /// The store's revision. Versions compare only within one epoch.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.image.version()
    }

    /// Changes when the store is another.
    #[must_use]
    pub fn epoch(&self) -> &str {
        std::str::from_utf8(self.image.section(Section::Epoch)).unwrap_or_default()
    }

    /// Unix milliseconds of the server when it sent this.
    #[must_use]
    pub fn server_time_ms(&self) -> u64 {
        self.image.server_time_ms()
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.image.len()
    }

    /// Whether there are none: then no request needs to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some rule ends, so that somebody must look at the clock.
    #[must_use]
    pub fn timed(&self) -> bool {
        self.image.timed()
    }

    /// When the rule of that place ends, in Unix milliseconds, without compiling it.
    #[must_use]
    pub fn ends_at_ms(&self, at: usize) -> Option<u64> {
        self.image.entry(at)?.ends_at_ms
    }

    /// The rule of that place as the set before had it, or compiled anew.
    fn make(&self, at: usize) -> Option<Rc<Rule>> {
        let entry = self.image.entry(at)?;
        let source = self.image.source(&entry)?;
        let known = |kept: &Kept| {
            let kept = kept.borrow();
            // The digest finds it; that it is the same rule, only its text can say.
            kept.get(&entry.digest).filter(|rule| &*rule.source == source).map(Rc::clone)
        };
        let inherited = self.inherited.as_ref().and_then(known);
        // The leader has checked how much room its patterns take.
        let mut budget = usize::MAX;
        let rule = inherited.or_else(|| compile(source, &mut budget).map(Rc::new).ok())?;
        self.keep(entry.digest, &rule);
        Some(rule)
    }

    fn keep(&self, digest: u64, rule: &Rc<Rule>) {
        let bytes = RULE_BYTES + 2 * rule.source.len() + rule.memory();
        if self.kept_bytes.get() > KEPT_BYTES {
            self.kept.borrow_mut().clear();
            self.places.borrow_mut().fill(Place::Unread);
            self.kept_bytes.set(0);
        }
        self.kept_bytes.set(self.kept_bytes.get() + bytes);
        self.kept.borrow_mut().insert(digest, Rc::clone(rule));
    }
}

impl Rules for RuleSet {
    fn candidates<V: RequestView>(&self, request: &Request<'_, V>) -> impl Iterator<Item = usize> {
        self.index.candidates(&self.image, request)
    }

    fn rule(&self, at: usize) -> Option<Rc<Rule>> {
        match self.places.borrow().get(at)? {
            Place::Ready(rule) => return Some(Rc::clone(rule)),
            Place::Unusable => return None,
            Place::Unread => {}
        }
        let made = self.make(at);
        if let Some(place) = self.places.borrow_mut().get_mut(at) {
            *place = made.clone().map_or(Place::Unusable, Place::Ready);
        }
        made
    }
}
