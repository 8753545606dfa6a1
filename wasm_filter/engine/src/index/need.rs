//! What a request must have for a rule to match, in terms that can be looked up.
//!
//! Keys are promises: a request that matches has one of them. So a conjunction may take the keys of any one of its
//! parts, and a disjunction needs keys for every branch. What is negated, or excluded, promises nothing.

use super::hash::{Kind, Walk, gram};
use super::needs::Names;
use crate::literals::{Beginning, Literals};
use crate::matching::{GrpcMatch, HeaderMatch, HeaderWant, Match, TextMatch};

/// The beginning of a path that says something: every path begins with `/`.
const MIN_BEGINNING: usize = 2;
const GRAM: usize = 4;

/// Something that a request has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// This path, of this length.
    Exact(u64, u32),
    /// A path that begins so, with so many bytes.
    Beginning(u64, u32),
    /// A path that holds these four bytes.
    Gram(u64),
    /// A value of the header with this number, of this length.
    Header(u64, u32, u16),
}

/// How a header is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) name: Box<str>,
    /// Values are compared in lower case.
    pub(crate) folded: bool,
}

impl Key {
    pub(crate) fn hash(&self) -> u64 {
        match self {
            Key::Exact(hash, _) | Key::Beginning(hash, _) | Key::Gram(hash) | Key::Header(hash, ..) => *hash,
        }
    }

    /// The number of the header.
    pub(super) fn name(&self) -> Option<u16> {
        match self {
            Key::Header(_, _, name) => Some(*name),
            _ => None,
        }
    }

    fn exact(path: &[u8]) -> Option<Key> {
        Some(Key::Exact(Walk::START.through(path).end(Kind::Exact), u32::try_from(path.len()).ok()?))
    }

    fn beginning(path: &[u8]) -> Option<Key> {
        Some(Key::Beginning(Walk::START.through(path).end(Kind::Beginning), u32::try_from(path.len()).ok()?))
    }

    fn header(name: &Name, value: &str, names: &mut Names) -> Option<Key> {
        let hash = name.start().through(value.as_bytes()).end(Kind::Header);
        Some(Key::Header(hash, u32::try_from(value.len()).ok()?, names.number(name)?))
    }
}

impl Name {
    /// Where the hash of a value of this header begins.
    pub(crate) fn start(&self) -> Walk {
        Walk::START.through(self.name.as_bytes()).step(u8::from(self.folded))
    }
}

/// What a request that matches has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// This.
    Key(Key),
    /// At least one of these.
    OneOf(Vec<Need>),
    /// Each of these, so it is enough to look for the one that is rarest. Never empty.
    Each(Vec<Need>),
}

/// Of a rule's match; `None` when nothing can be said.
pub(crate) fn of_match(matching: &Match, names: &mut Names) -> Option<Need> {
    let mut needs: Vec<Need> = matching.path.as_ref().and_then(of_path).into_iter().collect();
    needs.extend(matching.grpc.as_ref().and_then(of_grpc));
    if let Some(TextMatch::Exact(want)) = &matching.authority {
        let name = Name { name: ":authority".into(), folded: true };
        needs.extend(key(Key::header(&name, want, names)));
    }
    needs.extend(matching.headers.iter().filter_map(|header| of_header(header, names)));
    if !matching.any_of.is_empty() {
        let branches: Option<Vec<Need>> = matching.any_of.iter().map(|one| of_match(one, names)).collect();
        needs.extend(branches.map(Need::OneOf));
    }
    each(needs)
}

fn key(key: Option<Key>) -> Option<Need> {
    key.map(Need::Key)
}

fn each(mut needs: Vec<Need>) -> Option<Need> {
    if needs.len() > 1 { Some(Need::Each(needs)) } else { needs.pop() }
}

fn of_path(path: &TextMatch) -> Option<Need> {
    match path {
        TextMatch::Exact(want) => key(Key::exact(want.as_bytes())),
        TextMatch::Prefix(want) => {
            each(beginning(want.as_bytes()).into_iter().chain(grams(want.as_bytes())).collect())
        }
        TextMatch::Suffix(want) | TextMatch::Contains(want) => each(grams(want.as_bytes()).collect()),
        TextMatch::Regex(pattern) => of_pattern(pattern.literals()),
    }
}

fn beginning(path: &[u8]) -> Option<Need> {
    key((path.len() >= MIN_BEGINNING).then(|| Key::beginning(path)).flatten())
}

/// Some of the bytes that the path holds, from the middle and from both ends.
fn grams(part: &[u8]) -> impl Iterator<Item = Need> {
    let last = part.len().checked_sub(GRAM);
    let mut starts = last.map_or_else(Vec::new, |last| vec![last, last / 2, 0]);
    starts.dedup();
    starts.into_iter().filter_map(|start| {
        let bytes = part.get(start..)?.first_chunk()?;
        Some(Need::Key(Key::Gram(gram(*bytes))))
    })
}

fn of_pattern(literals: &Literals) -> Option<Need> {
    let beginnings = literals.beginnings.as_ref().and_then(|all| {
        let one = |one: &Beginning| match one.whole {
            true => key(Key::exact(&one.bytes)),
            false => beginning(&one.bytes),
        };
        match &**all {
            [alone] => one(alone),
            all => all.iter().map(one).collect::<Option<Vec<_>>>().map(Need::OneOf),
        }
    });
    let parts = literals.parts.iter().flat_map(|part| grams(part));
    each(beginnings.into_iter().chain(parts).collect())
}

/// `/service/method`.
fn of_grpc(call: &GrpcMatch) -> Option<Need> {
    match (&call.service, &call.method) {
        (Some(service), Some(method)) => key(Key::exact(format!("/{service}/{method}").as_bytes())),
        (Some(service), None) => beginning(format!("/{service}/").as_bytes()),
        (None, Some(method)) => each(grams(format!("/{method}").as_bytes()).collect()),
        (None, None) => None,
    }
}

fn of_header(header: &HeaderMatch, names: &mut Names) -> Option<Need> {
    match &header.want {
        HeaderWant::Text(TextMatch::Exact(want)) if !header.invert => {
            key(Key::header(&Name { name: header.name.clone(), folded: false }, want, names))
        }
        _ => None,
    }
}
