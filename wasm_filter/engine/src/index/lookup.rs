//! Reading the index. Whatever the bytes say, it ends, and traps nothing.

use super::candidates::{Candidates, Found};
use super::hash::{Kind, Walk, gram};
use super::need::Name;
use super::table::{SLOT, tag};
use crate::request::{Request, RequestView};
use crate::snapshot::image::{Image, Section, Words, u32_at};

/// What a request is asked for.
#[derive(Debug, Default)]
pub(crate) struct Index {
    longest_exact: usize,
    grams: bool,
    /// Of beginnings, ascending.
    lengths: Box<[usize]>,
    names: Vec<Header>,
}

#[derive(Debug)]
struct Header {
    name: Name,
    /// Longer values are no keys.
    longest: usize,
}

impl Index {
    /// `None` when it is damaged.
    pub(crate) fn open(image: &Image) -> Option<Index> {
        let power = |section| image.section(section).len().is_power_of_two();
        let empty = image.section(Section::Slots).is_empty();
        (empty || (power(Section::Slots) && power(Section::Filter))).then_some(())?;
        let mut lengths = Words::of(image.section(Section::Lengths));
        let longest_exact = lengths.next()?;
        let grams = lengths.next()? != 0;
        Some(Index { longest_exact, grams, lengths: lengths.collect(), names: names(image)? })
    }

    /// The places of the rules that may match, ascending.
    pub(crate) fn candidates<'i, V: RequestView>(
        &self,
        image: &'i Image,
        request: &Request<'_, V>,
    ) -> Candidates<'i> {
        let table = Table::of(image);
        let mut hits = Vec::new();
        let mut look = |hash| hits.extend(table.find(hash));
        let by_path = self.longest_exact > 0 || self.grams || !self.lengths.is_empty();
        if by_path && !table.slots.is_empty() {
            self.look_for_path(request.path(), &mut look);
        }
        for header in &self.names {
            request.any_value(&header.name.name, &mut |value| {
                if value.len() <= header.longest {
                    look(header.hash(value));
                }
                false
            });
        }
        Candidates::new(
            Words::of(image.section(Section::Always)),
            Found::of(hits, image.section(Section::Postings)),
        )
    }

    fn look_for_path(&self, path: &[u8], look: &mut impl FnMut(u64)) {
        let (mut walk, mut walked) = (Walk::START, 0);
        for &length in &self.lengths {
            let Some(more) = path.get(walked..length) else { break };
            walk = walk.through(more);
            walked = length;
            look(walk.end(Kind::Beginning));
        }
        if path.len() <= self.longest_exact {
            look(walk.through(path.get(walked..).unwrap_or_default()).end(Kind::Exact));
        }
        if self.grams {
            let mut rest = path;
            while let Some(bytes) = rest.first_chunk() {
                look(gram(*bytes));
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
}

fn names(image: &Image) -> Option<Vec<Header>> {
    let mut rest = image.section(Section::Names);
    let mut names = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let longest = usize::try_from(u32_at(rest, 4)?).ok()?;
        let folded = u32_at(rest, 8)? != 0;
        let (name, after) = rest.get(12..)?.split_at_checked(length)?;
        let name = Name { name: std::str::from_utf8(name).ok()?.into(), folded };
        names.push(Header { name, longest });
        rest = after;
    }
    Some(names)
}

impl Header {
    fn hash(&self, value: &[u8]) -> u64 {
        let start = self.name.start();
        let walk = match self.name.folded {
            true => value.iter().fold(start, |walk, byte| walk.step(byte.to_ascii_lowercase())),
            false => start.through(value),
        };
        walk.end(Kind::Header)
    }
}

/// The hash table.
struct Table<'i> {
    filter: &'i [u8],
    slots: &'i [u8],
}

impl<'i> Table<'i> {
    fn of(image: &'i Image) -> Table<'i> {
        Table { filter: image.section(Section::Filter), slots: image.section(Section::Slots) }
    }

    /// What the slot of a key says.
    #[inline]
    fn find(&self, hash: u64) -> Option<u32> {
        // Sizes are powers of two, or nothing is found.
        let bit = hash as usize & (self.filter.len() * 8).checked_sub(1)?;
        let byte = self.filter.get(bit / 8)?;
        if byte & (1 << (bit % 8)) == 0 { None } else { self.probe(hash) }
    }

    fn probe(&self, hash: u64) -> Option<u32> {
        let slots = self.slots.len() / SLOT;
        let mask = slots.checked_sub(1)?;
        let mut slot = hash as usize & mask;
        for _ in 0..slots {
            let bytes = self.slots.get(slot * SLOT..)?;
            let value = u32_at(bytes, 4)?;
            if value == 0 {
                return None;
            }
            if u32_at(bytes, 0)? == tag(hash) {
                return Some(value);
            }
            slot = (slot + 1) & mask;
        }
        None
    }
}
