//! Values of many names under few keys: shared data forgets no key, and names come and go with policies.
//!
//! The hash of a name says under which key its value stands, and tells it there from those of others. What is written
//! goes to the end, and of too many the first is dropped, which nobody has written for the longest time: of some 50,000
//! names none, and of more those that are not there any more, as a rule.

use xxhash_rust::xxh64::xxh64;

use super::bytes::{self, Reader};

const KEYS: u64 = 4096;
/// Values under one key.
const MOST: usize = 32;

const LAYOUT: u8 = 1;

/// Where the value of a name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The key in shared data.
    pub key: String,
    id: u64,
}

impl Spot {
    /// That of a name, on one of several shelves.
    #[must_use]
    pub fn of(shelf: &str, name: &str) -> Spot {
        let id = xxh64(name.as_bytes(), 0);
        Spot { key: format!("{shelf}.{:03x}", id % KEYS), id }
    }

    /// The value in what was found under the key.
    #[must_use]
    pub fn find<'w>(&self, written: &'w [u8]) -> Option<&'w [u8]> {
        values(written).find_map(|(id, value)| (id == self.id).then_some(value))
    }

    /// What to write under the key for the value to be this.
    #[must_use]
    pub fn put(&self, written: &[u8], value: &[u8]) -> Vec<u8> {
        let others: Vec<_> = values(written).filter(|(id, _)| *id != self.id).collect();
        let dropped = (others.len() + 1).saturating_sub(MOST);
        let mut all = vec![LAYOUT];
        for (id, value) in others.into_iter().skip(dropped).chain([(self.id, value)]) {
            all.extend_from_slice(&id.to_le_bytes());
            bytes::put_run(&mut all, value);
        }
        all
    }
}

/// Each value with the hash of its name. Bytes that are none end it.
fn values(written: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut reader = Reader::new(written, LAYOUT);
    std::iter::from_fn(move || {
        let reader = reader.as_mut()?;
        Some((reader.u64()?, reader.run()?))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// So many names of one key.
    fn under_one_key(count: usize) -> Vec<Spot> {
        let first = Spot::of("s", "0");
        (0..)
            .map(|name| Spot::of("s", &name.to_string()))
            .filter(|spot| spot.key == first.key)
            .take(count)
            .collect()
    }

    #[test]
    fn values_of_one_key_are_kept_apart() {
        let spots = under_one_key(3);
        let mut written = Vec::new();
        for (spot, value) in spots.iter().zip([b"one".as_slice(), b"", b"three"]) {
            written = spot.put(&written, value);
        }
        written = spots[1].put(&written, b"two");
        let found: Vec<_> = spots.iter().map(|spot| spot.find(&written)).collect();
        assert_eq!(found, [Some(b"one".as_slice()), Some(b"two"), Some(b"three")]);
        assert_eq!(Spot::of("s", "never put").find(&written), None);
    }

    #[test]
    fn of_too_many_the_one_goes_that_was_not_written_for_longest() {
        let spots = under_one_key(MOST + 2);
        let mut written = Vec::new();
        for spot in &spots[..MOST] {
            written = spot.put(&written, b"x");
        }
        written = spots[0].put(&written, b"y");
        for spot in &spots[MOST..] {
            written = spot.put(&written, b"x");
        }
        let gone: Vec<_> = (0..spots.len()).filter(|at| spots[*at].find(&written).is_none()).collect();
        assert_eq!(gone, [1, 2]);
    }

    #[test]
    fn names_without_end_take_no_more_than_so_much() {
        // What comes under sixteen of the keys.
        let mut shared: HashMap<String, Vec<u8>> = HashMap::new();
        let mut sizes = Vec::new();
        for name in 0..600_000 {
            let spot = Spot::of("hfi.counts", &format!("run-{name}/r"));
            if spot.id % KEYS < 16 {
                let written = shared.entry(spot.key.clone()).or_default();
                *written = spot.put(written, &[7; 25]);
            }
            if name % 300_000 == 299_999 {
                sizes.push(shared.values().map(Vec::len).sum::<usize>());
            }
        }
        assert_eq!(shared.len(), 16);
        assert_eq!(sizes, [16 * (1 + MOST * (8 + 4 + 25)); 2]);
    }

    #[test]
    fn of_fifty_thousand_names_none_is_lost() {
        let mut under: HashMap<String, usize> = HashMap::new();
        for name in 0..50_000 {
            *under.entry(Spot::of("hfi.counts", &format!("policy-{}/r", name)).key).or_default() += 1;
        }
        assert!(under.values().all(|count| *count <= MOST), "{:?}", under.values().max());
    }

    #[test]
    fn what_is_no_shelf_holds_nothing_and_is_written_over() {
        let spot = Spot::of("s", "a");
        let good = spot.put(&[], b"value");
        for broken in [&[], b"x".as_slice(), &[LAYOUT, 1, 2], &good[..good.len() - 1]] {
            assert_eq!(spot.find(broken), None);
            assert_eq!(spot.put(broken, b"value"), good);
        }
    }
}
