//! From JSON values to checked ones, collecting every problem on the way.
//!
//! Laws of every reader in this crate:
//!
//! 1. `None` means: a problem has been reported, go on with what stands beside it.
//! 2. An optional member that is `null` counts as absent. One that has a default may not be `null`, for `null`
//!    is not the default.
//! 3. A member that is not known is a problem. A misspelt one would silently do nothing.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::pattern::Pattern;
use crate::problem::{At, Problem};

/// The problems so far, and what is left for compiled patterns.
pub(crate) struct Reading {
    pub(crate) problems: Vec<Problem>,
    /// The bytes that compiled patterns may still take.
    pub(crate) regex_budget: usize,
}

impl Reading {
    /// `regex_budget`: how many bytes the compiled patterns may take together.
    pub(crate) fn new(regex_budget: usize) -> Reading {
        Reading { problems: Vec::new(), regex_budget }
    }

    pub(crate) fn problem(&mut self, at: &At, detail: impl Into<String>) {
        self.problems.push(Problem { pointer: at.pointer(), detail: detail.into() });
    }

    /// Reports `detail` unless `good`.
    pub(crate) fn check(&mut self, good: bool, at: &At, detail: &str) -> Option<()> {
        if good {
            return Some(());
        }
        self.problem(at, detail);
        None
    }

    /// The members of an object; those not among `known` are problems.
    pub(crate) fn object<'d>(&mut self, value: &'d Value, at: &At, known: &[&str]) -> Option<Members<'d>> {
        let members = self.map(value, at)?;
        let mut strange = false;
        for key in members.keys().filter(|key| !known.contains(&key.as_str())) {
            self.problem(&at.key(key), "is not a known field; look for a typing error");
            strange = true;
        }
        Some(Members { members, strange })
    }

    /// The members of an object that a newer sender may have extended: unknown ones are ignored.
    pub(crate) fn envelope<'d>(&mut self, value: &'d Value, at: &At) -> Option<Members<'d>> {
        self.map(value, at).map(|members| Members { members, strange: false })
    }

    /// An object with keys of the author's choice.
    pub(crate) fn map<'d>(&mut self, value: &'d Value, at: &At) -> Option<&'d Map<String, Value>> {
        let map = value.as_object();
        self.check(map.is_some(), at, "must be an object")?;
        map
    }

    pub(crate) fn list<'d>(&mut self, value: &'d Value, at: &At) -> Option<&'d [Value]> {
        let list = value.as_array();
        self.check(list.is_some(), at, "must be a list")?;
        list.map(Vec::as_slice)
    }

    pub(crate) fn text<'d>(&mut self, value: &'d Value, at: &At) -> Option<&'d str> {
        let text = value.as_str();
        self.check(text.is_some(), at, "must be a string")?;
        text
    }

    /// A string of some length, counted in characters.
    pub(crate) fn text_of<'d>(
        &mut self,
        value: &'d Value,
        at: &At,
        length: RangeInclusive<usize>,
    ) -> Option<&'d str> {
        let text = self.text(value, at)?;
        let (least, most) = (*length.start(), *length.end());
        // Bytes are never fewer than characters, so most texts need no counting.
        let characters = if text.len() <= most { text.len() } else { text.chars().count() };
        let good = (characters > 0 || least == 0) && characters <= most;
        if !good && characters == 0 {
            self.problem(at, "must not be empty");
        } else if !good {
            self.problem(at, format!("has {characters} characters, and {most} are allowed"));
        }
        good.then_some(text)
    }

    pub(crate) fn flag(&mut self, value: &Value, at: &At) -> Option<bool> {
        let flag = value.as_bool();
        self.check(flag.is_some(), at, "must be true or false")?;
        flag
    }

    /// A whole number. `1.0` is none, as in the control plane's own models.
    pub(crate) fn whole(&mut self, value: &Value, at: &At, range: RangeInclusive<i64>) -> Option<i64> {
        let detail = || format!("must be a whole number from {} to {}", range.start(), range.end());
        match value.as_i64().filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                self.problem(at, detail());
                None
            }
        }
    }

    /// A regular expression that has to match a whole text.
    pub(crate) fn pattern(&mut self, source: &str, at: &At) -> Option<Pattern> {
        const NO_ROOM: &str = "no room is left: the regular expressions take too much memory together";
        // Nothing is compiled once the room is used up: it is what keeps a check short as well.
        self.check(self.regex_budget > 0, at, NO_ROOM)?;
        match Pattern::whole(source) {
            Ok(pattern) => {
                let left = self.regex_budget.checked_sub(pattern.memory());
                self.regex_budget = left.unwrap_or(0);
                self.check(left.is_some(), at, NO_ROOM)?;
                Some(pattern)
            }
            Err(error) => {
                self.regex_budget = self.regex_budget.saturating_sub(error.cost);
                self.problem(at, error.detail);
                None
            }
        }
    }
}

/// The members of an object whose fields are known.
#[derive(Clone, Copy)]
pub(crate) struct Members<'d> {
    members: &'d Map<String, Value>,
    /// Whether there were unknown ones.
    pub(crate) strange: bool,
}

impl<'d> Members<'d> {
    /// A member that may be `null` to say that it is absent.
    pub(crate) fn optional(&self, key: &str) -> Option<&'d Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// A member that has a default: when it is there, `null` is a value like any other.
    pub(crate) fn defaulted(&self, key: &str) -> Option<&'d Value> {
        self.members.get(key)
    }

    /// A member that has to be there.
    pub(crate) fn required(&self, key: &str, at: &At, reading: &mut Reading) -> Option<&'d Value> {
        let value = self.members.get(key);
        reading.check(value.is_some(), &at.key(key), "is required")?;
        value
    }

    /// Which of `keys` are there; a problem unless it is exactly one.
    pub(crate) fn exactly_one(
        &self,
        keys: &[&'static str],
        at: &At,
        reading: &mut Reading,
    ) -> Option<&'static str> {
        let given: Vec<_> = keys.iter().copied().filter(|key| self.optional(key).is_some()).collect();
        match given.as_slice() {
            [one] => Some(one),
            // An unknown member beside none of the known ones is one problem, not two.
            [] if self.strange => None,
            [] => {
                reading.problem(at, format!("needs exactly one of {}", keys.join(", ")));
                None
            }
            several => {
                let detail = format!("holds {}; only one of them is allowed", several.join(" and "));
                reading.problem(at, detail);
                None
            }
        }
    }
}

/// Turns a member that was not given into its default, and a given one into what `read` makes of it.
pub(crate) fn or_default<'d, T>(
    member: Option<&'d Value>,
    default: T,
    read: impl FnOnce(&'d Value) -> Option<T>,
) -> Option<T> {
    member.map_or(Some(default), read)
}
