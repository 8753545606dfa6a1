//! Maps, as the host serialises them: a count, then the two lengths of each pair, then each key and each value
//! with a zero byte behind it. Numbers are 32 bits, little-endian.

/// The pairs, in order. Ends early where the bytes do.
pub fn pairs(serialised: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (count, rest) = number(serialised).unwrap_or((0, &[]));
    let (lengths, texts) = rest.split_at_checked(count.saturating_mul(8)).unwrap_or((&[], &[]));
    let (mut lengths, mut texts) = (lengths, texts);
    std::iter::from_fn(move || {
        let (key_length, rest) = number(lengths)?;
        let (value_length, rest) = number(rest)?;
        lengths = rest;
        let (key, rest) = text(texts, key_length)?;
        let (value, rest) = text(rest, value_length)?;
        texts = rest;
        Some((key, value))
    })
}

/// Serialises pairs.
pub fn serialised(pairs: &[(&str, &str)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let texts = || pairs.iter().flat_map(|(key, value)| [key, value]);
    let mut bytes = Vec::with_capacity(4 + texts().map(|text| text.len() + 5).sum::<usize>());
    bytes.extend_from_slice(&number(pairs.len()));
    for text in texts() {
        bytes.extend_from_slice(&number(text.len()));
    }
    for text in texts() {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn text(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    Some((text, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::{pairs, serialised};

    const TWO: &[u8] = b"\x02\0\0\0\x02\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0ab\0c\0\0de\0";

    #[test]
    fn reads_what_the_host_writes() {
        let read: Vec<_> = pairs(TWO).collect();
        assert_eq!(read, [(&b"ab"[..], &b"c"[..]), (b"", b"de")]);
        assert_eq!(pairs(b"\0\0\0\0").count(), 0);
    }

    #[test]
    fn writes_what_the_host_reads() {
        assert_eq!(serialised(&[("ab", "c"), ("", "de")]), TWO);
        assert_eq!(serialised(&[]), b"\0\0\0\0");
    }

    #[test]
    fn broken_bytes_only_end_it() {
        for end in 0..TWO.len() {
            assert!(pairs(&TWO[..end]).count() < 2, "{end}");
        }
        assert_eq!(pairs(&[255; 40]).count(), 0);
    }
}
