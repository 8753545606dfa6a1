//! Which rules a request may match, without asking all of them.
//!
//! A rule is filed under keys that every request has which the rule matches ([`need`]): its path, a beginning of it,
//! four bytes within it, or a value of a header. Where a rule offers several, the leader takes those that the fewest
//! rules share, so that ten thousand rules below `/api/` are told apart by what follows ([`choice`]). A rule that
//! offers none is asked always.
//!
//! All keys are in one hash table ([`table`]). Not in a trie, and not in a sorted list of beginnings: hashes of all
//! beginnings of a path come out of one walk over it, and only at lengths that some rule has; a search by bisection
//! would compare a dozen texts in a dozen places of memory. A small bitmap in front of the table tells almost every
//! miss. So a request that nothing matches costs a walk over its path and some looks into the bitmap, however many
//! rules there are ([`lookup`]). Headers are asked for only where they are the best that a rule offers, and at most
//! [`choice::MAX_NAMES`] of them, for each is a call of the host.

mod candidates;
mod choice;
pub(crate) mod hash;
mod lookup;
pub(crate) mod need;
pub(crate) mod needs;
mod table;

pub(crate) use self::lookup::Index;
pub(crate) use self::table::Tables;
