//! What can be said of a text that a pattern matches without running the pattern.

use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;

/// More beginnings than these are not worth looking for.
const MAX_BEGINNINGS: usize = 16;
/// `[0-9]` is no reason for ten beginnings; the two cases of a letter are one for two.
const MAX_CLASS: usize = 4;
const MAX_PARTS: usize = 4;
/// Shorter parts say little.
const MIN_PART: usize = 4;

/// What a text must begin with, and must hold, if the pattern is to match all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Literals {
    /// It begins with one of these; `None`: with anything. Empty: no text matches.
    pub(crate) beginnings: Option<Box<[Beginning]>>,
    /// It holds every one of these, wherever. Not all that there are.
    pub(crate) parts: Box<[Box<[u8]>]>,
}

/// One way for a text to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub(crate) bytes: Box<[u8]>,
    /// The text ends here, too.
    pub(crate) whole: bool,
}

impl Literals {
    pub(crate) fn of(hir: &Hir) -> Literals {
        let mut extractor = Extractor::new();
        extractor.kind(ExtractKind::Prefix).limit_class(MAX_CLASS).limit_total(MAX_BEGINNINGS);
        let sequence = extractor.extract(hir);
        let beginnings = sequence.literals().filter(|all| all.iter().all(|one| !one.is_empty())).map(|all| {
            all.iter().map(|one| Beginning { bytes: one.as_bytes().into(), whole: one.is_exact() }).collect()
        });
        let mut parts = Vec::new();
        collect(hir, &mut parts);
        // The longest first: they say the most.
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts.truncate(MAX_PARTS);
        Literals { beginnings, parts: parts.into_iter().map(Into::into).collect() }
    }

    /// Whether a text may match, as far as its beginning tells.
    pub(crate) fn may_begin(&self, text: &[u8]) -> bool {
        let begins = |one: &Beginning| text.starts_with(&one.bytes);
        self.beginnings.as_ref().is_none_or(|all| all.iter().any(begins))
    }
}

/// The literals that are in every text that matches.
fn collect<'h>(hir: &'h Hir, parts: &mut Vec<&'h [u8]>) {
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.len() >= MIN_PART => parts.push(&literal.0),
        HirKind::Concat(all) => all.iter().for_each(|part| collect(part, parts)),
        HirKind::Capture(capture) => collect(&capture.sub, parts),
        HirKind::Repetition(repetition) if repetition.min > 0 => collect(&repetition.sub, parts),
        _ => {}
    }
}

/// What the compiled pattern takes at most, in bytes.
pub(crate) fn room(hir: &Hir) -> usize {
    /// A state, and what its place in the order takes.
    const STATE: usize = 32;
    const RANGE: usize = 8;
    /// More ranges than these are not counted out: that would take as long as to compile them.
    const FEW_RANGES: usize = 32;
    /// No range of code points takes more sequences of bytes than this, nor more bytes in each.
    const MOST_STATES: usize = 20 * 4;
    let in_utf8 =
        |range: &ClassUnicodeRange| Utf8Sequences::new(range.start(), range.end()).map(|one| one.len());
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => STATE,
        HirKind::Literal(literal) => literal.0.len().saturating_mul(STATE),
        HirKind::Class(Class::Bytes(class)) => STATE + class.ranges().len() * RANGE,
        HirKind::Class(Class::Unicode(class)) if class.is_ascii() => STATE + class.ranges().len() * RANGE,
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges();
            let few = ranges.len() <= FEW_RANGES;
            let states = || ranges.iter().flat_map(in_utf8).sum();
            let states = if few { states() } else { ranges.len().saturating_mul(MOST_STATES) };
            STATE + states.saturating_mul(STATE + RANGE)
        }
        HirKind::Repetition(repetition) => {
            let copies = repetition.max.unwrap_or(repetition.min).max(1);
            let one = room(&repetition.sub).saturating_add(2 * STATE);
            one.saturating_mul(usize::try_from(copies).unwrap_or(usize::MAX))
        }
        HirKind::Capture(capture) => room(&capture.sub).saturating_add(2 * STATE),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().map(room).fold(STATE, |sum, one| sum.saturating_add(one).saturating_add(STATE))
        }
    }
}
