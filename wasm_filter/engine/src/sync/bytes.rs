//! Reading fixed layouts out of bytes that another version of the filter may have written.

use std::time::Duration;

/// A reader that answers `None` where the bytes end too early.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// A reader of what follows `layout`; `None` when the bytes are of another layout.
    pub(super) fn new(bytes: &'b [u8], layout: u8) -> Option<Reader<'b>> {
        let (first, rest) = bytes.split_first()?;
        (*first == layout).then_some(Reader(rest))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn moment(&mut self) -> Option<Duration> {
        self.u64().map(Duration::from_nanos)
    }

    /// Bytes with their length before them.
    pub(super) fn run(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (run, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(run)
    }

    /// A text with its length before it.
    pub(super) fn text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.run()?).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }
}

/// A moment as it is written. It fits for 584 years of uptime.
pub(super) fn moment(moment: Duration) -> [u8; 8] {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX).to_le_bytes()
}

/// Bytes with their length before them.
pub(super) fn put_run(bytes: &mut Vec<u8>, run: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(run.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(run);
}

/// A text with its length before it.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_run(bytes, text.as_bytes());
}
