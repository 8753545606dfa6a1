//! The places that a look into the index has found, in order.

use std::iter::Peekable;
use std::vec;

use super::table::ALONE;
use crate::snapshot::image::{Words, u32_at};

/// The places of the rules that may match, ascending, each once: those that are asked always, and those found.
pub(crate) struct Candidates<'i> {
    always: Peekable<Words<'i>>,
    found: Peekable<Found<'i>>,
}

impl<'i> Candidates<'i> {
    pub(super) fn new(always: Words<'i>, found: Found<'i>) -> Candidates<'i> {
        Candidates { always: always.peekable(), found: found.peekable() }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match (self.always.peek(), self.found.peek()) {
            (Some(always), Some(found)) if found < always => self.found.next(),
            (Some(_), _) => self.always.next(),
            (None, _) => self.found.next(),
        }
    }
}

/// The places that one or more slots name.
pub(super) enum Found<'i> {
    /// One place, or none.
    Alone(Option<usize>),
    /// Where they are in the image. Ten thousand rules may have one key, and the first of them decide.
    Listed(Words<'i>),
    /// Of several runs.
    Gathered(vec::IntoIter<usize>),
}

impl<'i> Found<'i> {
    /// The places that the slots with these values name.
    pub(super) fn of(mut values: Vec<u32>, postings: &'i [u8]) -> Found<'i> {
        // A path may hold the same four bytes many times.
        values.sort_unstable();
        values.dedup();
        match values.as_slice() {
            [] => Found::Alone(None),
            [one] => Found::run(*one, postings),
            several => {
                let mut all: Vec<usize> = several.iter().flat_map(|one| Found::run(*one, postings)).collect();
                all.sort_unstable();
                all.dedup();
                Found::Gathered(all.into_iter())
            }
        }
    }

    fn run(value: u32, postings: &'i [u8]) -> Found<'i> {
        if value & ALONE != 0 {
            return Found::Alone(usize::try_from(value & !ALONE).ok());
        }
        let run = || {
            let start = usize::try_from(value.checked_sub(1)?).ok()?.checked_mul(4)?;
            let count = usize::try_from(u32_at(postings, start)?).ok()?;
            postings.get(start.checked_add(4)?..)?.get(..count.checked_mul(4)?)
        };
        Found::Listed(Words::of(run().unwrap_or_default()))
    }
}

impl Iterator for Found<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Found::Alone(place) => place.take(),
            Found::Listed(words) => words.next(),
            Found::Gathered(places) => places.next(),
        }
    }
}
