//! The filter's bootstrap: what it is started with, by ECDS.

use serde_json::Value;

use crate::problem::{At, Problem};
use crate::reading::{Members, Reading};

/// What each setting is, with its default, is written in `docs/filter.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginConfig {
    /// Envoy's name for the cluster of the control plane's HTTP server.
    pub http_cluster: String,
    /// The `:authority` of polls.
    pub authority: String,
    /// How long a poll may be parked, from 1 to 300.
    pub wait_seconds: u32,
    /// Without word from the control plane for so long, faults stop; 0 for never.
    pub max_staleness_seconds: u32,
    /// Exact paths that are never touched.
    pub probe_paths: Vec<String>,
    /// Raised to have Envoy apply the same module anew.
    pub generation: u64,
}

impl Default for PluginConfig {
    fn default() -> Self {
        PluginConfig {
            http_cluster: "hfi_http".to_owned(),
            authority: "hfi".to_owned(),
            wait_seconds: 25,
            max_staleness_seconds: 600,
            probe_paths: Vec::new(),
            generation: 1,
        }
    }
}

impl PluginConfig {
    /// Reads the configuration; empty means all defaults.
    ///
    /// Never fails: Envoy could say no more than "rejected", so what cannot be used keeps its default, and is
    /// named for the log. Unknown members are those of a newer control plane, and ignored.
    #[must_use]
    pub fn parse(data: &[u8]) -> (PluginConfig, Vec<Problem>) {
        let mut config = PluginConfig::default();
        if data.trim_ascii().is_empty() {
            return (config, Vec::new());
        }
        let mut reading = Reading::new(0);
        match serde_json::from_slice::<Value>(data) {
            Ok(value) => {
                if let Some(members) = reading.envelope(&value, &At::ROOT) {
                    config.take(members, &mut reading);
                }
            }
            Err(error) => reading.problem(&At::ROOT, format!("is not JSON: {error}")),
        }
        (config, reading.problems)
    }

    fn take(&mut self, members: Members<'_>, reading: &mut Reading) {
        let at = At::ROOT;
        for (key, into) in [("http_cluster", &mut self.http_cluster), ("authority", &mut self.authority)] {
            let text = members.defaulted(key).and_then(|value| reading.text_of(value, &at.key(key), 1..=253));
            *into = text.map_or(std::mem::take(into), str::to_owned);
        }
        let mut whole = |key: &str, range| {
            members.defaulted(key).and_then(|value| reading.whole(value, &at.key(key), range))
        };
        if let Some(Ok(seconds)) = whole("wait_seconds", 1..=300).map(u32::try_from) {
            self.wait_seconds = seconds;
        }
        if let Some(Ok(seconds)) = whole("max_staleness_seconds", 0..=86_400).map(u32::try_from) {
            self.max_staleness_seconds = seconds;
        }
        if let Some(Ok(generation)) = whole("generation", 1..=i64::MAX).map(u64::try_from) {
            self.generation = generation;
        }
        let at = at.key("probe_paths");
        let paths = members.defaulted("probe_paths").and_then(|value| reading.list(value, &at));
        for (index, path) in paths.unwrap_or_default().iter().enumerate() {
            let at = at.index(index);
            if let Some(path) = reading.text_of(path, &at, 1..=256)
                && reading.check(good_path(path), &at, "must begin with / and hold no ? and no #").is_some()
            {
                self.probe_paths.push(path.to_owned());
            }
        }
    }
}

fn good_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains(['?', '#'])
}
