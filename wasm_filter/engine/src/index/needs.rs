//! What every rule of a snapshot needs, in one run of memory.
//!
//! It stays from one snapshot to the next, while megabytes beside it come and go. As a tree of small blocks for each
//! rule it would leave the memory of the VM, which never shrinks, full of holes.

use std::collections::BTreeMap;
use std::ops::Range;

use super::need::{Key, Name, Need};

/// One point of a tree; its branches follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Key(Key),
    /// At least one of so many branches.
    OneOf(u32),
    /// Each of so many.
    Each(u32),
}

impl Node {
    pub(crate) fn key(&self) -> Option<&Key> {
        match self {
            Node::Key(key) => Some(key),
            Node::OneOf(_) | Node::Each(_) => None,
        }
    }
}

/// The names of headers, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    numbers: BTreeMap<Name, u16>,
    names: Vec<Name>,
}

impl Names {
    /// The number of a name; `None` when there are too many.
    pub(crate) fn number(&mut self, name: &Name) -> Option<u16> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.names.len()).ok()?;
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        Some(number)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn get(&self, number: u16) -> Option<&Name> {
        self.names.get(usize::from(number))
    }
}

/// The trees, one after the other, and the names that they speak of.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    nodes: Vec<Node>,
    pub(crate) names: Names,
}

impl Needs {
    /// Where the need of one rule is; nowhere, if it has none.
    pub(crate) fn add(&mut self, need: Option<&Need>) -> Range<usize> {
        let start = self.nodes.len();
        need.into_iter().for_each(|need| self.push(need));
        start..self.nodes.len()
    }

    fn push(&mut self, need: &Need) {
        // Depth and number of branches are bounded by what a match may be.
        let count = |branches: &[Need]| u32::try_from(branches.len()).unwrap_or(u32::MAX);
        let (node, branches) = match need {
            Need::Key(key) => (Node::Key(*key), [].as_slice()),
            Need::OneOf(branches) => (Node::OneOf(count(branches)), branches.as_slice()),
            Need::Each(branches) => (Node::Each(count(branches)), branches.as_slice()),
        };
        self.nodes.push(node);
        branches.iter().for_each(|branch| self.push(branch));
    }

    /// Takes over what a rule needed before; `None` when there are too many names.
    pub(crate) fn take_over(&mut self, before: &Needs, place: Range<usize>) -> Option<Range<usize>> {
        let start = self.nodes.len();
        for node in before.get(place) {
            let node = match *node {
                Node::Key(Key::Header(hash, length, name)) => {
                    Node::Key(Key::Header(hash, length, self.names.number(before.names.get(name)?)?))
                }
                other => other,
            };
            self.nodes.push(node);
        }
        Some(start..self.nodes.len())
    }

    /// The tree of one rule.
    pub(crate) fn get(&self, place: Range<usize>) -> &[Node] {
        self.nodes.get(place).unwrap_or_default()
    }
}
