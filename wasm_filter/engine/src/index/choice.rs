//! Which of the keys that a rule offers it is filed under.

use std::cmp::Reverse;

use super::need::Key;
use super::needs::{Names, Node};

/// A request is asked for no more headers than these before there are candidates.
pub(super) const MAX_NAMES: usize = 8;

/// What it costs to look for a key, in candidates that are asked in vain: to walk over the path costs nothing, for
/// it is done anyway; to slide over it, a little; a header is a call of the host.
const GRAM: u64 = 8;
const HEADER: u64 = 32;
const NEVER: u64 = u64::MAX;

/// How many rules offer each key, about; never too few. Two counts for each key, of which the smaller counts: keys may
/// share the one or the other with a popular one, and hardly ever both. Ten thousand rules offer seventy thousand keys,
/// and a map of them would be the largest thing that the compiler needs.
struct Popularity {
    counts: Vec<u32>,
}

impl Popularity {
    fn of<'n>(keys: impl Iterator<Item = &'n Key> + Clone) -> Popularity {
        let mut counts = vec![0; (4 * keys.clone().count()).next_power_of_two()];
        for key in keys {
            for place in Popularity::places(key, counts.len()) {
                if let Some(count) = counts.get_mut(place) {
                    *count += 1;
                }
            }
        }
        Popularity { counts }
    }

    fn places(key: &Key, size: usize) -> [usize; 2] {
        // A power of two.
        let mask = size.saturating_sub(1);
        [key.hash() as usize & mask, (key.hash() >> 32) as usize & mask]
    }

    fn rules(&self, key: &Key) -> u32 {
        let places = Popularity::places(key, self.counts.len());
        places.into_iter().filter_map(|place| self.counts.get(place)).min().copied().unwrap_or_default()
    }
}

/// Chooses the keys that the fewest rules share.
pub(super) struct Chooser {
    popularity: Popularity,
    /// Which headers may be asked for, by their numbers.
    allowed: Vec<bool>,
}

impl Chooser {
    /// For rules that need this.
    pub(super) fn new(needs: &[&[Node]], names: &Names) -> Chooser {
        let keys = needs.iter().flat_map(|nodes| nodes.iter()).filter_map(Node::key);
        let popularity = Popularity::of(keys);
        let mut chooser = Chooser { popularity, allowed: vec![true; names.len()] };
        if names.len() > MAX_NAMES {
            chooser.allow_the_most_useful(needs);
        }
        chooser
    }

    fn allow_the_most_useful(&mut self, needs: &[&[Node]]) {
        let mut uses: Vec<(u32, usize)> = (0..self.allowed.len()).map(|name| (0, name)).collect();
        let mut keys = Vec::new();
        for nodes in needs {
            self.choose(nodes, &mut keys);
            for name in keys.iter().filter_map(Key::name) {
                if let Some((uses, _)) = uses.get_mut(usize::from(name)) {
                    *uses += 1;
                }
            }
        }
        uses.sort_unstable_by_key(|(uses, name)| (Reverse(*uses), *name));
        for (_, name) in uses.into_iter().skip(MAX_NAMES) {
            if let Some(allowed) = self.allowed.get_mut(name) {
                *allowed = false;
            }
        }
    }

    /// Puts the keys of one rule into `keys`; false for a rule that has to be asked always.
    pub(super) fn choose(&self, nodes: &[Node], keys: &mut Vec<Key>) -> bool {
        keys.clear();
        let keyed = self.cost(&mut &*nodes) != NEVER;
        if keyed {
            self.collect(&mut &*nodes, keys);
        }
        keyed
    }

    /// How many candidates are asked in vain, about, for the tree at the beginning of `nodes`, which it goes past.
    fn cost(&self, nodes: &mut &[Node]) -> u64 {
        match next(nodes) {
            Some(Node::Key(key)) => self.cost_of(key),
            Some(Node::OneOf(count)) => {
                (0..count).fold(0, |sum: u64, _| sum.saturating_add(self.cost(nodes)))
            }
            Some(Node::Each(count)) => (0..count).map(|_| self.cost(nodes)).min().unwrap_or(NEVER),
            None => NEVER,
        }
    }

    fn cost_of(&self, key: Key) -> u64 {
        let look = match key {
            Key::Exact(..) | Key::Beginning(..) => 0,
            Key::Gram(_) => GRAM,
            Key::Header(_, _, name) => match self.allowed.get(usize::from(name)) {
                Some(true) => HEADER,
                _ => return NEVER,
            },
        };
        look + u64::from(self.popularity.rules(&key))
    }

    fn collect(&self, nodes: &mut &[Node], keys: &mut Vec<Key>) {
        match next(nodes) {
            Some(Node::Key(key)) => keys.push(key),
            Some(Node::OneOf(count)) => (0..count).for_each(|_| self.collect(nodes, keys)),
            Some(Node::Each(count)) => {
                let mut branch = || {
                    let start = *nodes;
                    (self.cost(nodes), start)
                };
                let cheapest = (0..count).map(|_| branch()).min_by_key(|(cost, _)| *cost);
                cheapest.into_iter().for_each(|(_, mut start)| self.collect(&mut start, keys));
            }
            None => {}
        }
    }
}

fn next(nodes: &mut &[Node]) -> Option<Node> {
    let (first, rest) = nodes.split_first()?;
    *nodes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::hash::{Kind, Walk};

    fn hash(text: &str) -> u64 {
        Walk::START.through(text.as_bytes()).end(Kind::Beginning)
    }

    #[test]
    fn a_rare_key_is_not_taken_for_a_popular_one_beside_it() {
        // One rule that slides over the path makes every request slide.
        let rule = |at: u32| {
            let own = Node::Key(Key::Beginning(hash(&format!("/svc-{at}/")), 9));
            let shared = Node::Key(Key::Beginning(hash(&format!("/v{}/", at % 3)), 4));
            let part = Node::Key(Key::Gram(hash(&format!("part {at}"))));
            [Node::Each(3), shared, own, part]
        };
        for count in [10, 1000, 3000, 10_000] {
            let rules: Vec<_> = (0..count).map(rule).collect();
            let needs: Vec<&[Node]> = rules.iter().map(|nodes| nodes.as_slice()).collect();
            let chooser = Chooser::new(&needs, &Names::default());
            let mut keys = Vec::new();
            let slides = needs.iter().filter(|nodes| {
                assert!(chooser.choose(nodes, &mut keys));
                matches!(keys.as_slice(), [Key::Gram(_)])
            });
            assert_eq!(slides.count(), 0, "of {count}");
        }
    }
}
