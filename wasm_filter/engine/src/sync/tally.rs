//! What is counted of one rule over all VMs of an Envoy: one value in shared data, changed by compare-and-swap.

use super::bytes::Reader;
use crate::tallies::Tally;

const LAYOUT: u8 = 1;

/// The counts of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Since when: the rule's [`applied_at_ms`](crate::rule::Rule::applied_at_ms).
    pub applied_at_ms: u64,
    /// Of [`Tally::Matched`].
    pub matched: u64,
    /// Of [`Tally::Fired`].
    pub fired: u64,
}

impl Count {
    /// What to write in the place of `found` to count one more, and how many there were before. A rule that was
    /// applied anew begins anew; `None` for one that still runs by what was applied before that.
    #[must_use]
    pub fn one_more(found: Option<Count>, applied_at_ms: u64, tally: Tally) -> Option<(Count, u64)> {
        let mut count = match found {
            Some(count) if count.applied_at_ms > applied_at_ms => return None,
            Some(count) if count.applied_at_ms == applied_at_ms => count,
            _ => Count { applied_at_ms, ..Count::default() },
        };
        let which = match tally {
            Tally::Matched => &mut count.matched,
            Tally::Fired => &mut count.fired,
        };
        let before = *which;
        *which = before.saturating_add(1);
        Some((count, before))
    }

    /// Whether a rule that was applied then has fired as often as it may: there is nothing to count any more.
    #[must_use]
    pub fn is_spent(&self, applied_at_ms: u64, times: u64) -> bool {
        self.applied_at_ms == applied_at_ms && self.fired >= times
    }

    /// As written to shared data.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut written = vec![LAYOUT];
        for number in [self.applied_at_ms, self.matched, self.fired] {
            written.extend_from_slice(&number.to_le_bytes());
        }
        written
    }

    /// What [`Count::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(written: &[u8]) -> Option<Count> {
        let mut reader = Reader::new(written, LAYOUT)?;
        let count = Count { applied_at_ms: reader.u64()?, matched: reader.u64()?, fired: reader.u64()? };
        reader.is_empty().then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn count(applied_at_ms: u64, matched: u64, fired: u64) -> Count {
        Count { applied_at_ms, matched, fired }
    }

    #[test]
    fn counts_from_when_the_rule_was_applied() {
        use Tally::{Fired, Matched};
        let table = [
            ("the first", None, Matched, Some((count(5, 1, 0), 0))),
            ("the first to fire", None, Fired, Some((count(5, 0, 1), 0))),
            ("one more", Some(count(5, 7, 3)), Matched, Some((count(5, 8, 3), 7))),
            ("one more that fires", Some(count(5, 7, 3)), Fired, Some((count(5, 7, 4), 3))),
            ("applied anew", Some(count(4, 7, 3)), Fired, Some((count(5, 0, 1), 0))),
            ("applied anew, and this one does not know it yet", Some(count(6, 7, 3)), Fired, None),
            ("never over", Some(count(5, 0, u64::MAX)), Fired, Some((count(5, 0, u64::MAX), u64::MAX))),
        ];
        for (about, found, tally, expected) in table {
            assert_eq!(Count::one_more(found, 5, tally), expected, "{about}");
        }
    }

    #[test]
    fn is_spent_when_it_has_fired_often_enough_since_it_was_applied() {
        let table = [
            (count(5, 9, 2), true),
            (count(5, 9, 3), true),
            (count(5, 9, 1), false),
            (count(4, 9, 2), false),
        ];
        for (count, expected) in table {
            assert_eq!(count.is_spent(5, 2), expected, "{count:?}");
        }
    }

    #[test]
    fn survives_shared_data() {
        let written = count(1, 2, u64::MAX).encode();
        assert_eq!(Count::decode(&written), Some(count(1, 2, u64::MAX)));
        for end in 0..written.len() {
            assert_eq!(Count::decode(&written[..end]), None);
        }
        assert_eq!(Count::decode(&[written.as_slice(), b"x"].concat()), None);
    }
}
