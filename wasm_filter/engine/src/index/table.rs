//! Writing the index.
//!
//! | section | what it holds, in words of 32 bits unless said otherwise |
//! |---|---|
//! | always | the places of the rules that have no keys, ascending |
//! | filter | a bitmap: bit `hash mod its size` is set for each key |
//! | slots | an open hash table, probed in a line from `hash mod its size`: the upper half of the hash, and a value. 0: empty; with the uppermost bit: the only place that has the key; else 1 + where in the postings its places are |
//! | postings | runs of a count, and so many places, ascending |
//! | lengths | the length of the longest whole path that is a key; whether there are keys of four bytes; the lengths of the beginnings, ascending |
//! | names | for each header: the length of its name, that of the longest value, whether values are compared in lower case, and the name's bytes |

use std::collections::{BTreeMap, BTreeSet};

use super::choice::Chooser;
use super::need::Key;
use super::needs::{Names, Node};
use crate::snapshot::image::Section;

/// Bits of the filter for each key, at least: one look in 16 is in vain.
const FILTER_BITS: usize = 16;
pub(super) const SLOT: usize = 8;
pub(super) const ALONE: u32 = 1 << 31;

/// The sections of an index.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    always: Vec<u8>,
    filter: Vec<u8>,
    slots: Vec<u8>,
    postings: Vec<u8>,
    lengths: Vec<u8>,
    names: Vec<u8>,
}

impl Tables {
    /// Of what the rules need, in their order. `None` when there are more than 31 bits can count.
    pub(crate) fn build(needs: &[&[Node]], names: &Names) -> Option<Tables> {
        (needs.len() < ALONE as usize).then_some(())?;
        let chooser = Chooser::new(needs, names);
        let mut tables = Tables::default();
        let mut filed: Vec<(u64, u32)> = Vec::with_capacity(needs.len());
        let mut asked = Asked::default();
        let mut keys = Vec::new();
        for (place, nodes) in (0_u32..).zip(needs) {
            if chooser.choose(nodes, &mut keys) {
                keys.iter().for_each(|key| asked.note(key));
                filed.extend(keys.iter().map(|key| (key.hash(), place)));
            } else {
                tables.always.extend(place.to_le_bytes());
            }
        }
        // A rule may be filed twice under one key, by two branches of `anyOf`.
        filed.sort_unstable();
        filed.dedup();
        tables.file(&filed)?;
        asked.write(&mut tables, names);
        Some(tables)
    }

    fn file(&mut self, filed: &[(u64, u32)]) -> Option<()> {
        let keys = filed.chunk_by(|one, other| one.0 == other.0).count();
        if keys == 0 {
            return Some(());
        }
        let mut slots = vec![(0_u32, 0_u32); (keys + keys / 2).next_power_of_two()];
        self.filter = vec![0; (keys * FILTER_BITS).next_power_of_two() / 8];
        for run in filed.chunk_by(|one, other| one.0 == other.0) {
            let (hash, first) = *run.first()?;
            let value = if run.len() == 1 { ALONE | first } else { self.post(run)? };
            insert(&mut slots, hash, value);
            let bit = hash as usize % (self.filter.len() * 8);
            *self.filter.get_mut(bit / 8)? |= 1 << (bit % 8);
        }
        self.slots = Vec::with_capacity(slots.len() * SLOT);
        for (tag, value) in slots {
            self.slots.extend(tag.to_le_bytes());
            self.slots.extend(value.to_le_bytes());
        }
        Some(())
    }

    /// Writes a run of places, and says what a slot says of it.
    fn post(&mut self, run: &[(u64, u32)]) -> Option<u32> {
        let start = u32::try_from(self.postings.len() / 4).ok().filter(|start| start + 1 < ALONE)?;
        self.postings.extend(u32::try_from(run.len()).ok()?.to_le_bytes());
        run.iter().for_each(|(_, place)| self.postings.extend(place.to_le_bytes()));
        Some(start + 1)
    }

    /// The content of a section of the index.
    pub(crate) fn section(&self, section: Section) -> &[u8] {
        match section {
            Section::Always => &self.always,
            Section::Filter => &self.filter,
            Section::Slots => &self.slots,
            Section::Postings => &self.postings,
            Section::Lengths => &self.lengths,
            Section::Names => &self.names,
            Section::Epoch | Section::Rules | Section::Sources => &[],
        }
    }
}

fn insert(slots: &mut [(u32, u32)], hash: u64, value: u32) {
    let start = hash as usize % slots.len();
    let (before, after) = slots.split_at_mut(start);
    if let Some(free) = after.iter_mut().chain(before).find(|slot| slot.1 == 0) {
        *free = (tag(hash), value);
    }
}

/// The half of a hash that a slot keeps.
pub(super) fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// What a request has to be asked for.
#[derive(Default)]
struct Asked {
    longest_exact: u32,
    grams: bool,
    beginnings: BTreeSet<u32>,
    /// By their numbers, with the longest value.
    names: BTreeMap<u16, u32>,
}

impl Asked {
    fn note(&mut self, key: &Key) {
        match key {
            Key::Exact(_, length) => self.longest_exact = self.longest_exact.max(*length),
            Key::Beginning(_, length) => {
                self.beginnings.insert(*length);
            }
            Key::Gram(_) => self.grams = true,
            Key::Header(_, length, name) => {
                let longest = self.names.entry(*name).or_default();
                *longest = (*longest).max(*length);
            }
        }
    }

    fn write(self, tables: &mut Tables, names: &Names) {
        tables.lengths.extend(self.longest_exact.to_le_bytes());
        tables.lengths.extend(u32::from(self.grams).to_le_bytes());
        self.beginnings.iter().for_each(|length| tables.lengths.extend(length.to_le_bytes()));
        for (name, longest) in self.names {
            let Some(name) = names.get(name) else { continue };
            // The names of headers have 256 characters at most.
            tables.names.extend(u32::try_from(name.name.len()).unwrap_or_default().to_le_bytes());
            tables.names.extend(longest.to_le_bytes());
            tables.names.extend(u32::from(name.folded).to_le_bytes());
            tables.names.extend(name.name.as_bytes());
        }
    }
}
