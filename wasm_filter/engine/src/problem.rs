//! What is wrong with a document, and where.

use std::fmt;

/// One problem: where, as an RFC 6901 JSON pointer, and what, in words that complete "this …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Empty for the whole document.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(out, "{}", self.detail),
            pointer => write!(out, "{pointer}: {}", self.detail),
        }
    }
}

/// A place in a document: a chain of steps that lives on the reader's stack, so that no text is made until
/// there is a problem.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    up: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    pub(crate) const ROOT: At<'static> = At { up: None, step: Step::Root };

    pub(crate) fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { up: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn index<'b>(&'b self, index: usize) -> At<'b> {
        At { up: Some(self), step: Step::Index(index) }
    }

    pub(crate) fn pointer(&self) -> String {
        let mut text = self.up.map_or_else(String::new, At::pointer);
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                text.push('/');
                text.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Step::Index(index) => {
                text.push('/');
                text.push_str(&index.to_string());
            }
        }
        text
    }
}
