//! What each firing of a rule does in turn.

use serde_json::Value;

use crate::chance::Chance;
use crate::fault::abort::{Abort, End, STATUSES};
use crate::problem::At;
use crate::reading::Reading;

const MAX_STEPS: usize = 64;

/// Reads a `sequence`: statuses, and `pass`.
pub(super) fn read(value: &Value, at: &At, reading: &mut Reading) -> Option<Box<[Option<Abort>]>> {
    let list = reading.list(value, at)?;
    let good = (1..=MAX_STEPS).contains(&list.len());
    if !good {
        reading.problem(at, format!("needs 1 to {MAX_STEPS} steps, has {}", list.len()));
    }
    let steps: Vec<_> =
        list.iter().enumerate().map(|(index, value)| read_step(value, &at.index(index), reading)).collect();
    let steps = steps.into_iter().collect::<Option<Box<[_]>>>().filter(|_| good)?;
    reading.check(steps.iter().any(Option::is_some), at, "lets every request pass; name a status")?;
    Some(steps)
}

fn read_step(value: &Value, at: &At, reading: &mut Reading) -> Option<Option<Abort>> {
    if value == "pass" {
        return Some(None);
    }
    let status = value.as_i64().filter(|status| STATUSES.contains(status));
    let status = status.and_then(|status| u16::try_from(status).ok());
    reading.check(status.is_some(), at, "must be a status from 200 to 599, or pass")?;
    let end = End::Http { status: status?, body: None };
    Some(Some(Abort { end, headers: Vec::new(), chance: Chance::ALWAYS }))
}
