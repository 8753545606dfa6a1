//! The flat form of a snapshot: one run of bytes that one VM writes, and every VM uses in place.
//!
//! All numbers are little-endian. A header, then the sections, each found by the offset and the length that the
//! header says. Every read is checked, so that bytes which are no image, or a damaged one, give nothing and trap
//! nothing. There is no checksum: the image never leaves the process, and to sum up megabytes would hold requests
//! up.

use std::ops::Range;

/// `HFIS`, and the form of what follows. VMs of two builds share data while one module replaces another.
const MAGIC: u32 = u32::from_le_bytes(*b"HFIS");
const FORMAT: u32 = 1;
/// Magic, form, version, server's time, flags, and a word to spare.
const FIXED: usize = 32;
const HEADER: usize = FIXED + 8 * Section::COUNT;
const TIMED: u32 = 1;
const NO_END: u64 = u64::MAX;

/// What an image holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Section {
    /// UTF-8.
    Epoch,
    /// One [`Entry`] a rule, in the total order.
    Rules,
    /// The index's own, and so the five that follow: see [`crate::index`].
    Always,
    Filter,
    Slots,
    Postings,
    Lengths,
    Names,
    /// The JSON of every rule, one after the other.
    Sources,
}

impl Section {
    pub(crate) const COUNT: usize = 9;
}

/// What the image says of one rule without reading its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where its JSON is among the sources.
    pub(crate) start: u32,
    pub(crate) length: u32,
    /// Unix milliseconds.
    pub(crate) ends_at_ms: Option<u64>,
    /// XXH64 of its JSON.
    pub(crate) digest: u64,
}

impl Entry {
    const BYTES: usize = 24;
}

/// An image that has all its sections.
#[derive(Debug, Default)]
pub(crate) struct Image {
    bytes: Vec<u8>,
    sections: [Range<usize>; Section::COUNT],
}

impl Image {
    /// `None` when it is no image, or one of another form.
    pub(crate) fn open(bytes: Vec<u8>) -> Option<Image> {
        if u32_at(&bytes, 0)? != MAGIC || u32_at(&bytes, 4)? != FORMAT {
            return None;
        }
        let mut sections: [Range<usize>; Section::COUNT] = Default::default();
        for (at, section) in sections.iter_mut().enumerate() {
            let start = usize::try_from(u32_at(&bytes, FIXED + 8 * at)?).ok()?;
            let length = usize::try_from(u32_at(&bytes, FIXED + 8 * at + 4)?).ok()?;
            *section = start..start.checked_add(length)?;
            bytes.get(section.clone())?;
        }
        Some(Image { bytes, sections })
    }

    pub(crate) fn section(&self, section: Section) -> &[u8] {
        let range = self.sections.get(section as usize).cloned().unwrap_or_default();
        self.bytes.get(range).unwrap_or_default()
    }

    pub(crate) fn version(&self) -> u64 {
        u64_at(&self.bytes, 8).unwrap_or_default()
    }

    pub(crate) fn server_time_ms(&self) -> u64 {
        u64_at(&self.bytes, 16).unwrap_or_default()
    }

    pub(crate) fn timed(&self) -> bool {
        u32_at(&self.bytes, 24).is_some_and(|flags| flags & TIMED != 0)
    }

    /// How many rules.
    pub(crate) fn len(&self) -> usize {
        self.section(Section::Rules).len() / Entry::BYTES
    }

    pub(crate) fn entry(&self, at: usize) -> Option<Entry> {
        let start = at.checked_mul(Entry::BYTES)?;
        let bytes = self.section(Section::Rules).get(start..)?;
        let end = u64_at(bytes, 8)?;
        Some(Entry {
            start: u32_at(bytes, 0)?,
            length: u32_at(bytes, 4)?,
            ends_at_ms: (end != NO_END).then_some(end),
            digest: u64_at(bytes, 16)?,
        })
    }

    /// The JSON of a rule.
    pub(crate) fn source(&self, entry: &Entry) -> Option<&str> {
        let start = usize::try_from(entry.start).ok()?;
        let end = start.checked_add(usize::try_from(entry.length).ok()?)?;
        std::str::from_utf8(self.section(Section::Sources).get(start..end)?).ok()
    }
}

/// What an image is made of, beside the index.
#[derive(Debug, Default)]
pub(crate) struct Plan<'d> {
    pub(crate) version: u64,
    pub(crate) server_time_ms: u64,
    pub(crate) epoch: &'d str,
    /// The rules' JSON, in the total order, with their ends and digests.
    pub(crate) rules: Vec<(&'d str, Option<u64>, u64)>,
}

impl Plan<'_> {
    /// Writes the image; `index` gives the content of the index's sections. `None` when it is beyond what 32 bits
    /// can count. Written into room of just the right size: what a VM once takes, it never gives back.
    pub(crate) fn write<'i>(&self, index: impl Fn(Section) -> &'i [u8]) -> Option<Vec<u8>> {
        const INDEX: [Section; 6] = [
            Section::Always,
            Section::Filter,
            Section::Slots,
            Section::Postings,
            Section::Lengths,
            Section::Names,
        ];
        let sources: usize = self.rules.iter().map(|(source, ..)| source.len()).sum();
        let mut lengths = [0_usize; Section::COUNT];
        let mut set = |section: Section, length| {
            if let Some(slot) = lengths.get_mut(section as usize) {
                *slot = length;
            }
        };
        set(Section::Epoch, self.epoch.len());
        set(Section::Rules, self.rules.len() * Entry::BYTES);
        set(Section::Sources, sources);
        INDEX.into_iter().for_each(|section| set(section, index(section).len()));
        let total = HEADER + lengths.iter().sum::<usize>();
        u32::try_from(total).ok()?;

        let timed = self.rules.iter().any(|(_, end, _)| end.is_some());
        let mut out = Vec::with_capacity(total);
        out.extend(MAGIC.to_le_bytes());
        out.extend(FORMAT.to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(self.server_time_ms.to_le_bytes());
        out.extend(if timed { TIMED } else { 0 }.to_le_bytes());
        out.extend(0_u32.to_le_bytes());
        let mut start = HEADER;
        for length in lengths {
            out.extend(u32::try_from(start).ok()?.to_le_bytes());
            out.extend(u32::try_from(length).ok()?.to_le_bytes());
            start += length;
        }
        // In the order of `Section`.
        out.extend(self.epoch.as_bytes());
        let mut start = 0_u32;
        for (source, end, digest) in &self.rules {
            let length = u32::try_from(source.len()).ok()?;
            out.extend(start.to_le_bytes());
            out.extend(length.to_le_bytes());
            out.extend(end.unwrap_or(NO_END).to_le_bytes());
            out.extend(digest.to_le_bytes());
            start += length;
        }
        INDEX.into_iter().for_each(|section| out.extend(index(section)));
        self.rules.iter().for_each(|(source, ..)| out.extend(source.as_bytes()));
        Some(out)
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Little-endian words of 32 bits; what is left over at the end is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words<'i>(&'i [u8]);

impl<'i> Words<'i> {
    pub(crate) fn of(bytes: &'i [u8]) -> Words<'i> {
        Words(bytes)
    }
}

impl Iterator for Words<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*word)).ok()
    }
}
