//! Changing the body of a response, chunk by chunk: a body that is held back is a body in memory.

use crate::host::stream;

/// What becomes of a body.
#[derive(Default)]
pub enum Body {
    /// It passes as it is.
    #[default]
    Kept,
    /// The first chunk becomes this, and each later one nothing.
    Replaced(Option<Box<str>>),
    /// So many bytes may still pass, and then the stream is reset.
    Cut(u64),
    /// They have passed.
    Over,
}

/// What becomes of a stream after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    GoesOn,
    /// This was the last chunk that the client gets: it is to be reset when that has reached it.
    EndsSoon,
    /// Its end is not passed on: the reset is on its way.
    NeverEnds,
}

impl Body {
    /// Sees to a chunk of so many bytes. `ends` says that it is the last.
    pub fn pass(&mut self, size: usize, ends: bool) -> After {
        match self {
            Body::Kept => After::GoesOn,
            Body::Replaced(by) => {
                let by = by.take().unwrap_or_default();
                if size > 0 || !by.is_empty() {
                    stream::replace_body(size, by.as_bytes());
                }
                After::GoesOn
            }
            Body::Cut(left) => match u64::try_from(size).ok().and_then(|size| left.checked_sub(size)) {
                Some(rest) => {
                    *left = rest;
                    After::GoesOn
                }
                None => {
                    // Less than the chunk has, so it fits.
                    let kept = stream::body(usize::try_from(*left).unwrap_or(usize::MAX));
                    stream::replace_body(size, &kept);
                    *self = Body::Over;
                    After::EndsSoon
                }
            },
            // Dropped, and not held back, for what is held back is in memory.
            Body::Over => {
                if size > 0 {
                    stream::replace_body(size, b"");
                }
                if ends { After::NeverEnds } else { After::GoesOn }
            }
        }
    }

    /// Whether the client gets no more of it, and no end.
    pub fn is_over(&self) -> bool {
        matches!(self, Body::Over)
    }
}
