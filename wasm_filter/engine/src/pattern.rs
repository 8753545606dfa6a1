//! Regular expressions in Rust's syntax, which match in linear time (design, section 3, decision 6).

use std::fmt;

use regex_automata::{Anchored, Input, meta};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, Look};

/// What one pattern may take once compiled. `[a-z0-9-]{1,63}` needs 10 KB, a Unicode `\w{1,20}` 400 KB.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// What the search may remember beside it. A pattern that outgrows it is matched more slowly, and just as well.
const CACHE_BYTES: usize = 256 << 10;

const TOO_LARGE: &str = "is too large once compiled (1 MiB at most): repeat fewer times, or say [0-9] for \\d \
    and [A-Za-z0-9_] for \\w";

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// In one line: what is wrong, and where.
    pub detail: String,
    /// The bytes that were compiled before it turned out, to be charged like those of a good pattern: to find
    /// out that a pattern is too large takes longer than to compile most that are not.
    pub cost: usize,
}

/// A compiled pattern.
#[derive(Clone)]
pub struct Pattern {
    source: Box<str>,
    regex: meta::Regex,
}

impl Pattern {
    /// Compiles a pattern that must match a whole text. The error says in one line what is wrong, and where.
    ///
    /// # Errors
    ///
    /// When it is no pattern, or one that needs too much room.
    pub fn whole(source: &str) -> Result<Pattern, PatternError> {
        // Header values need not be UTF-8, so a pattern may match bytes that are not: utf8(false).
        let parsed =
            ParserBuilder::new().utf8(false).build().parse(source).map_err(|error| said(source, &error))?;
        // Anchors go around the parsed pattern. Around its text they would not hold for `a|b`, and `a)|(b` or a
        // comment in (?x) would break out.
        let whole = Hir::concat(vec![Hir::look(Look::Start), parsed, Hir::look(Look::End)]);
        let config = meta::Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_COMPILED_BYTES))
            .onepass_size_limit(Some(CACHE_BYTES))
            .hybrid_cache_capacity(CACHE_BYTES);
        let regex = meta::Builder::new().configure(config).build_from_hir(&whole).map_err(|error| {
            let detail = match error.size_limit() {
                Some(_) => TOO_LARGE.to_owned(),
                None => format!("does not compile: {error}"),
            };
            PatternError { detail, cost: MAX_COMPILED_BYTES }
        })?;
        Ok(Pattern { source: source.into(), regex })
    }

    /// Whether the pattern matches all of `text`.
    #[must_use]
    pub fn matches_whole(&self, text: &[u8]) -> bool {
        self.regex.is_match(Input::new(text).anchored(Anchored::Yes))
    }

    /// What the compiled pattern takes, in bytes, without the search's cache.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.regex.memory_usage()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({:?})", self.source)
    }
}

/// The parser's many-line drawing, as one line.
fn said(source: &str, error: &regex_syntax::Error) -> PatternError {
    let (kind, at, cost) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), error.span().start.offset, 0),
        // Found after the classes before it were unfolded, which takes a while.
        regex_syntax::Error::Translate(error) => {
            (error.kind().to_string(), error.span().start.offset, MAX_COMPILED_BYTES >> 4)
        }
        other => (other.to_string(), 0, 0),
    };
    let character = source.char_indices().take_while(|(start, _)| *start < at).count() + 1;
    PatternError { detail: format!("is not a regular expression: {kind}, at character {character}"), cost }
}
