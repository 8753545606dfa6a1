//! The hash of the index: of a text and, on the way, of every beginning of it.
//!
//! One multiplication a byte, so that the hashes of all beginnings of a path cost one walk. Texts that collide, by
//! chance or by design, cost a look at a rule that does not match, and nothing else.

use std::hash::{BuildHasherDefault, Hasher};

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX: u64 = 0xBF58_476D_1CE4_E5B9;

/// What a key is of, so that `/a` as a whole path and as a beginning are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Exact = 0x11,
    Beginning = 0x22,
    Gram = 0x33,
    Header = 0x44,
}

/// The hash of what was read so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk(u64);

impl Walk {
    pub(crate) const START: Walk = Walk(0xCBF2_9CE4_8422_2325);

    #[inline]
    pub(crate) fn step(self, byte: u8) -> Walk {
        Walk((self.0 ^ u64::from(byte)).wrapping_mul(STEP))
    }

    pub(crate) fn through(self, bytes: &[u8]) -> Walk {
        bytes.iter().fold(self, |walk, byte| walk.step(*byte))
    }

    /// Every bit of it depends on every byte read.
    #[inline]
    pub(crate) fn end(self, kind: Kind) -> u64 {
        let mut hash = self.0 ^ kind as u64;
        hash = (hash ^ (hash >> 32)).wrapping_mul(MIX);
        hash ^ (hash >> 29)
    }
}

/// The hash of four bytes, wherever in the path.
#[inline]
pub(crate) fn gram(bytes: [u8; 4]) -> u64 {
    Walk(u64::from(u32::from_le_bytes(bytes)).wrapping_mul(STEP)).end(Kind::Gram)
}

/// For maps whose keys are such hashes.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = Walk(self.0).through(bytes).0;
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(crate) type Build = BuildHasherDefault<AsItIs>;
