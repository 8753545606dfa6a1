//! The JSON of a snapshot, up to its rules: each stays the text that it is.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Why a whole snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotError {
    /// It is no JSON object.
    Unreadable(String),
    /// A member that has to be there is missing, or is not what it should be.
    Member(&'static str, &'static str),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Unreadable(why) => write!(out, "not a snapshot: {why}"),
            SnapshotError::Member(name, expected) => write!(out, "a snapshot's {name} must be {expected}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

/// A snapshot whose rules have not been looked at.
pub(super) struct Wire<'d> {
    pub(super) version: u64,
    pub(super) epoch: String,
    pub(super) server_time_ms: u64,
    pub(super) rules: Vec<&'d RawValue>,
}

const DIGITS: &str = "a string of digits";
const LIST: SnapshotError = SnapshotError::Member("rules", "a list");

impl<'d> Wire<'d> {
    /// Reads the text once from end to end, for it may be megabytes. Unknown members are ignored.
    pub(super) fn read(data: &'d [u8]) -> Result<Wire<'d>, SnapshotError> {
        let in_rules = Cell::new(false);
        let mut text = serde_json::Deserializer::from_slice(data);
        let read = Members { in_rules: &in_rules }.deserialize(&mut text);
        let raw = read.and_then(|raw| text.end().map(|()| raw)).map_err(|error| {
            let no_list = in_rules.get() && error.classify() == Category::Data;
            if no_list { LIST } else { SnapshotError::Unreadable(error.to_string()) }
        })?;
        let version = member::<String>(raw.version, "version", DIGITS)?;
        Ok(Wire {
            version: version.parse().map_err(|_| SnapshotError::Member("version", DIGITS))?,
            epoch: member(raw.epoch, "epoch", "a string")?,
            server_time_ms: member(raw.server_time_ms, "server_time_ms", "Unix time in milliseconds")?,
            rules: raw.rules.ok_or(LIST)?,
        })
    }
}

fn member<'d, T: serde::Deserialize<'d>>(
    raw: Option<&'d RawValue>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, SnapshotError> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or(SnapshotError::Member(name, expected))
}

#[derive(Default)]
struct Raw<'d> {
    version: Option<&'d RawValue>,
    epoch: Option<&'d RawValue>,
    server_time_ms: Option<&'d RawValue>,
    rules: Option<Vec<&'d RawValue>>,
}

/// Reads the members. `in_rules` tells whose fault it was when one is of the wrong kind.
struct Members<'c> {
    in_rules: &'c Cell<bool>,
}

impl<'d> DeserializeSeed<'d> for Members<'_> {
    type Value = Raw<'d>;

    fn deserialize<D: Deserializer<'d>>(self, text: D) -> Result<Raw<'d>, D::Error> {
        text.deserialize_map(self)
    }
}

impl<'d> Visitor<'d> for Members<'_> {
    type Value = Raw<'d>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut members: A) -> Result<Raw<'d>, A::Error> {
        let mut raw = Raw::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "version" => raw.version = Some(members.next_value()?),
                "epoch" => raw.epoch = Some(members.next_value()?),
                "server_time_ms" => raw.server_time_ms = Some(members.next_value()?),
                "rules" => {
                    self.in_rules.set(true);
                    raw.rules = Some(members.next_value()?);
                    self.in_rules.set(false);
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(raw)
    }
}
