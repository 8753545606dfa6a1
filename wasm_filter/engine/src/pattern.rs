//! Regular expressions in Rust's syntax, which match in linear time (design, section 3, decision 6).
//!
//! A set of rules may hold thousands of patterns, of which a worker tries few, and each only on texts that begin as
//! they must. So what counts is how fast a pattern is checked and how little it takes, and not how many gigabytes
//! a second it would search: `meta::Regex` took 30 times as long to compile and 20 times the room of the plain
//! NFA, and its lazy DFA more still with the first match. Here the NFA is made when it is first asked, by one
//! compiler, and run by one backtracker with a bounded memory; the PikeVM takes texts that are too long for that.

use std::cell::{OnceCell, RefCell};
use std::fmt;

use regex_automata::nfa::thompson::backtrack::{self, BoundedBacktracker};
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, Look};

use crate::literals::{Literals, room};

/// What one pattern may take once compiled. `[a-z0-9-]{1,63}` needs 5 KB, a Unicode `\w{1,20}` 350 KB.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// A pattern that takes this at most, by an estimate, is good without being compiled.
const SURELY_SMALL: usize = 64 << 10;
/// What every compiled pattern takes, however small.
const LEAST_BYTES: usize = 1 << 10;
/// What the backtracker may remember: where it has been, one bit for each state and byte of the text.
const VISITED_BYTES: usize = 64 << 10;

const TOO_LARGE: &str = "is too large once compiled (1 MiB at most): repeat fewer times, or say [0-9] for \\d \
    and [A-Za-z0-9_] for \\w";

thread_local! {
    /// One compiler for all patterns: what it works with takes longer to make than most patterns.
    static COMPILER: thompson::Compiler = {
        let mut compiler = thompson::Compiler::new();
        let config = thompson::Config::new().utf8(false).which_captures(WhichCaptures::None);
        compiler.configure(config.nfa_size_limit(Some(MAX_COMPILED_BYTES)));
        compiler
    };
    /// What the backtracker works with, whichever pattern it runs.
    static SCRATCH: RefCell<Option<backtrack::Cache>> = const { RefCell::new(None) };
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// In one line: what is wrong, and where.
    pub detail: String,
    /// The bytes that were compiled before it turned out, to be charged like those of a good pattern: to find
    /// out that a pattern is too large takes longer than to compile most that are not.
    pub cost: usize,
}

/// A pattern that is sure to compile.
#[derive(Clone)]
pub struct Pattern {
    source: Box<str>,
    literals: Literals,
    memory: usize,
    /// `None` inside: it could not be compiled after all, and matches nothing.
    compiled: OnceCell<Option<BoundedBacktracker>>,
}

impl Pattern {
    /// Checks a pattern that must match a whole text. The error says in one line what is wrong, and where.
    ///
    /// # Errors
    ///
    /// When it is no pattern, or one that needs too much room.
    pub fn whole(source: &str) -> Result<Pattern, PatternError> {
        let parsed = parse(source)?;
        let literals = Literals::of(&parsed);
        let estimate = room(&parsed).saturating_add(LEAST_BYTES);
        let compiled = OnceCell::new();
        if estimate <= SURELY_SMALL {
            return Ok(Pattern { source: source.into(), literals, memory: estimate, compiled });
        }
        let regex = compile(parsed)?;
        let memory = regex.get_nfa().memory_usage();
        let _ = compiled.set(Some(regex));
        Ok(Pattern { source: source.into(), literals, memory, compiled })
    }

    /// Whether the pattern matches all of `text`.
    #[must_use]
    pub fn matches_whole(&self, text: &[u8]) -> bool {
        if !self.literals.may_begin(text) {
            return false;
        }
        let compiled = self.compiled.get_or_init(|| compile(parse(&self.source).ok()?).ok());
        let input = Input::new(text).anchored(Anchored::Yes);
        compiled.as_ref().is_some_and(|regex| search(regex, input))
    }

    /// What the compiled pattern takes, in bytes; where it is little, at most.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// What can be said of the texts that it matches.
    pub(crate) fn literals(&self) -> &Literals {
        &self.literals
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({:?})", self.source)
    }
}

fn parse(source: &str) -> Result<Hir, PatternError> {
    // Header values need not be UTF-8, so a pattern may match bytes that are not: utf8(false).
    ParserBuilder::new().utf8(false).build().parse(source).map_err(|error| said(source, &error))
}

fn compile(parsed: Hir) -> Result<BoundedBacktracker, PatternError> {
    // Anchors go around the parsed pattern. Around its text they would not hold for `a|b`, and `a)|(b` or a
    // comment in (?x) would break out.
    let whole = Hir::concat(vec![Hir::look(Look::Start), parsed, Hir::look(Look::End)]);
    let config = backtrack::Config::new().visited_capacity(VISITED_BYTES);
    let refused = |error: thompson::BuildError| {
        let detail = match error.size_limit() {
            Some(_) => TOO_LARGE.to_owned(),
            None => format!("does not compile: {error}"),
        };
        PatternError { detail, cost: MAX_COMPILED_BYTES }
    };
    let nfa = COMPILER.with(|compiler| compiler.build_from_hir(&whole).map_err(refused))?;
    BoundedBacktracker::builder().configure(config).build_from_nfa(nfa).map_err(refused)
}

fn search(regex: &BoundedBacktracker, input: Input<'_>) -> bool {
    let bounded = SCRATCH.with_borrow_mut(|scratch| {
        let cache = scratch.get_or_insert_with(|| regex.create_cache());
        cache.reset(regex);
        regex.try_is_match(cache, input.clone())
    });
    bounded.unwrap_or_else(|_| simulate(regex.get_nfa(), input))
}

/// Takes the same time for every byte, and room for the states alone.
fn simulate(nfa: &NFA, input: Input<'_>) -> bool {
    let Ok(regex) = PikeVM::new_from_nfa(nfa.clone()) else { return false };
    let mut cache = regex.create_cache();
    regex.is_match(&mut cache, input)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const PATTERNS: [&str; 23] = [
        "",
        "/svc-1/users/[0-9]+/orders(/.*)?",
        ".*",
        "(?s).*",
        "(?i)/checkout/straße",
        "[^/]+",
        "[^x]{3,40}",
        "\\w",
        "\\d{1,3}",
        "(?-u:\\w){1,63}",
        "[a-z0-9-]{1,63}",
        "(a|b|cd|[e-g])*",
        "((a?){5}b+){7,9}",
        "\\p{Lu}",
        "[à-ÿ]|[\u{800}-\u{ffff}]|[\u{10000}-\u{10ffff}]",
        "[\u{7f}-\u{10fffe}]",
        "(?:ab){0}",
        "x{0,9}y{4,}",
        "^a$|(?-u:\\b)b(?-u:\\B)",
        "\\b{start}a\\b.*\\B",
        "(?:(?:(?:a)))",
        "[^\\s\\S]",
        "\u{10ffff}{20}",
    ];

    #[test]
    fn no_pattern_takes_more_than_was_estimated() {
        for source in PATTERNS {
            let estimate = room(&parse(source).unwrap()) + LEAST_BYTES;
            let compiled = compile(parse(source).unwrap()).unwrap();
            let memory = compiled.get_nfa().memory_usage();
            assert!(memory <= estimate, "{source}: {memory} is more than {estimate}");
            let pattern = Pattern::whole(source).unwrap();
            assert_eq!(
                pattern.memory(),
                if estimate <= SURELY_SMALL { estimate } else { memory },
                "{source}"
            );
        }
    }

    #[test]
    fn what_the_compiler_refuses_is_refused_at_once() {
        let refused = Pattern::whole("[ab]{60000}").unwrap_err();
        assert_eq!((refused.detail.as_str(), refused.cost), (TOO_LARGE, MAX_COMPILED_BYTES));
    }

    /// A pattern, a text, and whether it matches; `é` is a letter of Unicode's, and none of ASCII's.
    const BOUNDARIES: [(&str, &[u8], bool); 16] = [
        (".*\\bcart\\b.*", b"/v1/cart/7", true),
        (".*\\bcart\\b.*", b"/v1/cart-old", true),
        (".*\\bcart\\b.*", b"/v1/cart_old", false),
        (".*\\bcart\\b.*", b"/v1/carts", false),
        ("\\bcart\\b", b"cart", true),
        ("/a\\bb", b"/ab", false),
        ("/a\\Bb", b"/ab", true),
        ("\\b", b"", false),
        (".*\\bcaf\\b.*", "/café".as_bytes(), false),
        ("(?-u:.*\\bcaf\\b.*)", "/café".as_bytes(), true),
        (".*\\bcafé\\b.*", "/café/1".as_bytes(), true),
        (".*\\b{start}art.*", b"/cart", false),
        (".*\\b{end}s.*", b"/carts", false),
        // What is not UTF-8 is no letter, and has no boundary inside.
        ("(?s-u:.)*\\ba(?s-u:.)*", b"\xffa\xff", true),
        ("(?s-u:.)*a\\Bb(?s-u:.)*", b"\xffab\xff", true),
        ("(?s-u:.)*\\B(?s-u:.)*", b"\xff", false),
    ];

    #[test]
    fn word_boundaries_are_those_of_unicode_for_short_texts_and_long_ones() {
        for (source, text, matches) in BOUNDARIES {
            let pattern = Pattern::whole(source).unwrap();
            assert_eq!(pattern.matches_whole(text), matches, "{source} on {}", text.escape_ascii());
            // The backtracker above, and what takes over from it where a text is too long.
            let regex = compile(parse(source).unwrap()).unwrap();
            let simulated = simulate(regex.get_nfa(), Input::new(text).anchored(Anchored::Yes));
            assert_eq!(simulated, matches, "{source} on {}, simulated", text.escape_ascii());
        }
        let long = format!("/{}/cart", "x".repeat(200_000));
        assert!(Pattern::whole(".*\\bcart\\b").unwrap().matches_whole(long.as_bytes()));
        assert!(!Pattern::whole(".*\\bart\\b").unwrap().matches_whole(long.as_bytes()));
    }

    #[test]
    fn texts_too_long_to_backtrack_match_just_as_well() {
        let pattern = Pattern::whole("/a/(?:x|[xy])*/b").unwrap();
        let long = "x".repeat(200_000);
        assert!(pattern.matches_whole(format!("/a/{long}/b").as_bytes()));
        assert!(!pattern.matches_whole(format!("/a/{long}/c").as_bytes()));
        assert!(pattern.matches_whole(b"/a/xy/b"));
        assert!(!pattern.matches_whole(b"/a/xz/b"));
    }
}
