//! The parameters of a query, as a form encodes them (WHATWG URL, section 5.1): `&` between them, `=` between name
//! and value, `+` for a space, `%41` for a byte.

use std::borrow::Cow;

use crate::matching::HeaderMatch;

/// Whether a matcher holds for a query, which comes without its `?`.
pub(super) fn holds(wanted: &HeaderMatch, query: &[u8]) -> bool {
    wanted.holds_among(|test| {
        parameters(query)
            .any(|(name, value)| *decoded(name) == *wanted.name.as_bytes() && test(&decoded(value)))
    })
}

/// Names and values as they stand there. A name without `=` has the empty value; nothing between two `&` is no
/// parameter.
fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pieces = query.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty());
    pieces.map(|piece| {
        let mut halves = piece.splitn(2, |byte| *byte == b'=');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    })
}

/// A `%` that no two hexadecimal digits follow stands for itself.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return text.into();
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = if *first == b'%' { escaped(after) } else { None };
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
        let plain = if *first == b'+' { b' ' } else { *first };
        decoded.push(escaped.unwrap_or(plain));
    }
    decoded.into()
}

/// The byte that the two digits at the beginning stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}
