//! Asking the control plane: when, how, and what its answer means (design, section 4).
//!
//! ```text
//!          asked                    worked
//!   due ──────────▶ under way ──────────────▶ due (at once)
//!    ▲                  │ failed, or no answer in time
//!    └──── backoff ◀────┘
//! ```
//!
//! The server parks a question until there is something newer, so asking again at once costs nothing. A server
//! that does not park it is asked once a second.

use std::time::Duration;

use super::backoff::Backoff;
use super::cache::Position;
use crate::chance::Rolls;
use crate::config::PluginConfig;
use crate::sse;

/// What an answer may take beyond the wait that was asked for.
const MARGIN: Duration = Duration::from_secs(10);
/// Between questions whose answers bring no progress.
const PAUSE: Duration = Duration::from_secs(1);

/// When to ask.
#[derive(Debug, Clone)]
pub struct Poller {
    timeout: Duration,
    state: State,
    backoff: Backoff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Due(Duration),
    UnderWay { since: Duration },
}

impl Poller {
    /// A poller that is due at once.
    #[must_use]
    pub fn new(config: &PluginConfig) -> Poller {
        let timeout = Duration::from_secs(config.wait_seconds.into()) + MARGIN;
        Poller { timeout, state: State::Due(Duration::ZERO), backoff: Backoff::default() }
    }

    /// When something is to be done next: to ask, or to give up waiting.
    #[must_use]
    pub fn next(&self) -> Duration {
        match self.state {
            State::Due(from) => from,
            // The host ends the call by itself at the timeout; this is for a call that it forgot.
            State::UnderWay { since } => since + self.timeout + MARGIN,
        }
    }

    /// Whether it is time for that.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.next() <= now
    }

    /// How long the server may park the question, in seconds. Not at all after a failure: the answer is the sign of
    /// life that ends staleness, and where nothing has changed a parked one would come only when its time is up.
    #[must_use]
    pub fn wait_seconds(&self, config: &PluginConfig) -> u32 {
        if self.backoff.is_failing() { 0 } else { config.wait_seconds }
    }

    /// How long the host is to wait for an answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The question was sent.
    pub fn asked(&mut self, now: Duration) {
        self.state = State::UnderWay { since: now };
    }

    /// A good answer came; with progress when it is newer, in the same store.
    pub fn worked(&mut self, now: Duration, progress: bool) {
        // After a failure it was not to be parked, so that it came at once says nothing of the server.
        let parked = !self.backoff.is_failing();
        self.backoff.worked();
        let next = match self.state {
            State::UnderWay { since } if parked && !progress => now.max(since + PAUSE),
            _ => now,
        };
        self.state = State::Due(next);
    }

    /// No answer came, or none that can be used. Says how long to wait.
    pub fn failed(&mut self, now: Duration, rolls: &mut impl Rolls) -> Duration {
        let wait = self.backoff.failed(rolls);
        self.state = State::Due(now + wait);
        wait
    }

    /// Somebody else leads now: what is under way is none of ours any more.
    pub fn forget(&mut self) {
        self.state = State::Due(Duration::ZERO);
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Envoy's node id.
    pub id: String,
    /// Envoy's node cluster.
    pub cluster: String,
    /// From the node's metadata, under `hfi.labels`.
    pub labels: Vec<(String, String)>,
}

/// The headers of a question.
#[must_use]
pub fn question(
    config: &PluginConfig,
    node: &Node,
    position: Option<&Position>,
    wait_seconds: u32,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (":method", "GET".to_owned()),
        (":path", format!("/v1/config/stream?wait={wait_seconds}s&once=true")),
        (":authority", config.authority.clone()),
        ("accept", "text/event-stream".to_owned()),
        ("x-hfi-node", header_value(&node.id)),
        ("x-hfi-cluster", header_value(&node.cluster)),
        ("x-hfi-labels", labels(&node.labels)),
    ];
    if let Some(position) = position {
        headers.push(("last-event-id", position.version.to_string()));
        headers.push(("x-hfi-epoch", header_value(&position.epoch)));
    }
    headers
}

fn labels(labels: &[(String, String)]) -> String {
    // One that the list cannot hold would make the whole question a bad one.
    let fits = |key: &str, value: &str| !key.is_empty() && !key.contains([',', '=']) && !value.contains(',');
    let fitting = labels.iter().filter(|(key, value)| fits(key, value));
    let mut pairs: Vec<String> = fitting.map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort_unstable();
    header_value(&pairs.join(","))
}

/// Without what no header may hold: Envoy would refuse the whole call.
fn header_value(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

/// An answer of the control plane, or of whatever is there in its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// `:status`; empty when there was no answer.
    pub status: &'a str,
    /// `content-type`.
    pub content_type: &'a str,
    /// `x-hfi-version`.
    pub version: &'a str,
    /// `x-hfi-epoch`.
    pub epoch: &'a str,
    /// `x-hfi-age-ms`.
    pub age_ms: &'a str,
    /// The whole of it.
    pub body: &'a [u8],
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Here is a snapshot.
    Update(String),
    /// Nothing is newer than what one has, up to there.
    Current(Position),
    /// The one who answered lags behind what one has.
    Behind(Position),
    /// Nobody is there, for now.
    Unreachable(String),
    /// Somebody is there, who does not answer as a control plane would.
    Wrong(String),
}

impl Answer<'_> {
    /// How long the one who answers has not heard of the store. A control plane that does not say so, or says what
    /// makes no sense, is taken at its word as before: its answer is fresh.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.age_ms.parse().unwrap_or(0))
    }

    /// What it means to one who is at `position`.
    #[must_use]
    pub fn read(&self, position: Option<&Position>) -> Reply {
        match self.status.parse::<u16>() {
            Ok(200) => {}
            // Envoy answers by itself, too, when a cluster cannot be reached: 503 and 504.
            Ok(status @ (408 | 429 | 500..=599)) => return Reply::Unreachable(format!("status {status}")),
            Ok(status) => {
                // A problem document says what is wrong with the question.
                let said: String = String::from_utf8_lossy(self.body).chars().take(300).collect();
                return Reply::Wrong(format!("status {status} {said}").trim_end().to_owned());
            }
            Err(_) => return Reply::Unreachable("no answer".to_owned()),
        }
        if !self.content_type.trim_start().starts_with("text/event-stream") {
            return Reply::Wrong(format!("content-type {:?} in place of an event stream", self.content_type));
        }
        let update = sse::events(self.body).into_iter().rfind(|event| event.event == "update");
        if let Some(event) = update {
            return Reply::Update(event.data);
        }
        let Ok(version) = self.version.parse::<u64>() else {
            return Reply::Wrong(format!("no event, and x-hfi-version {:?}", self.version));
        };
        let offered = Position { epoch: self.epoch.to_owned(), version };
        match position {
            Some(ours) if ours.epoch != offered.epoch => {
                Reply::Wrong("no event, though the store is another".to_owned())
            }
            // One that is about to stop answers everybody so.
            None => Reply::Unreachable("no event, though nothing was known".to_owned()),
            Some(ours) if ours.is_ahead_of(&offered) => Reply::Behind(offered),
            Some(_) => Reply::Current(offered),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::SeededRolls;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const NOW: Duration = s(1000);

    fn poller() -> Poller {
        Poller::new(&PluginConfig::default())
    }

    #[test]
    fn is_due_at_once_and_then_waits_for_the_answer() {
        let mut poller = poller();
        assert!(poller.is_due(Duration::ZERO));
        poller.asked(NOW);
        assert!(!poller.is_due(NOW + poller.timeout()));
        assert_eq!(poller.timeout(), s(35));
        assert!(poller.is_due(NOW + s(45)), "a call that the host forgot is given up");
    }

    #[test]
    fn asks_again_at_once_when_it_had_asked_not_to_be_parked() {
        let (mut poller, config) = (poller(), PluginConfig::default());
        let wait = poller.failed(NOW, &mut SeededRolls::new(1));
        let later = NOW + wait;
        assert_eq!(poller.wait_seconds(&config), 0);
        poller.asked(later);
        poller.worked(later, false);
        assert!(poller.is_due(later), "a rule that comes now is not to wait for a second");
        assert_eq!(poller.wait_seconds(&config), config.wait_seconds);
        poller.asked(later);
        poller.worked(later, false);
        assert!(!poller.is_due(later + Duration::from_millis(999)), "this one should have been parked");
    }

    #[test]
    fn asks_again_at_once_when_something_came() {
        let mut poller = poller();
        poller.asked(NOW);
        poller.worked(NOW + Duration::from_millis(3), true);
        assert_eq!(poller.next(), NOW + Duration::from_millis(3));
    }

    #[test]
    fn does_not_spin_on_a_server_that_does_not_park() {
        let mut poller = poller();
        poller.asked(NOW);
        poller.worked(NOW + Duration::from_millis(3), false);
        assert_eq!(poller.next(), NOW + s(1));
        poller.asked(NOW);
        poller.worked(NOW + s(25), false);
        assert_eq!(poller.next(), NOW + s(25));
    }

    #[test]
    fn backs_off_and_recovers() {
        let (mut poller, mut rolls) = (poller(), SeededRolls::new(1));
        let mut waits = Vec::new();
        for _ in 0..12 {
            poller.asked(NOW);
            let wait = poller.failed(NOW, &mut rolls);
            assert_eq!(poller.next(), NOW + wait);
            waits.push(wait);
        }
        assert!(
            waits[0] <= Duration::from_millis(250) && waits[11] >= s(15) && waits[11] <= s(30),
            "{waits:?}"
        );
        poller.asked(NOW);
        poller.worked(NOW, true);
        assert!(poller.failed(NOW, &mut rolls) <= Duration::from_millis(250));
    }

    #[test]
    fn whoever_leads_again_starts_at_once() {
        let mut poller = poller();
        poller.asked(NOW);
        poller.forget();
        assert!(poller.is_due(NOW));
    }

    fn at(epoch: &str, version: u64) -> Position {
        Position { epoch: epoch.to_owned(), version }
    }

    #[test]
    fn after_a_failure_the_answer_is_wanted_at_once() {
        let config = PluginConfig::default();
        let mut poller = Poller::new(&config);
        assert_eq!(poller.wait_seconds(&config), config.wait_seconds);
        poller.failed(Duration::ZERO, &mut crate::chance::SeededRolls::new(1));
        assert_eq!(poller.wait_seconds(&config), 0);
        poller.worked(Duration::ZERO, false);
        assert_eq!(poller.wait_seconds(&config), config.wait_seconds);
    }

    #[test]
    fn asks_as_agreed() {
        let config = PluginConfig { wait_seconds: 7, authority: "cp".to_owned(), ..PluginConfig::default() };
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let node = Node {
            id: "n\r\n1".to_owned(),
            cluster: "shop".to_owned(),
            labels: vec![label("zone", "b"), label("a,b", "c"), label("", ""), label("track", "canary")],
        };
        let first = question(&config, &node, None, 7);
        let expected = [
            (":method", "GET"),
            (":path", "/v1/config/stream?wait=7s&once=true"),
            (":authority", "cp"),
            ("accept", "text/event-stream"),
            ("x-hfi-node", "n1"),
            ("x-hfi-cluster", "shop"),
            ("x-hfi-labels", "track=canary,zone=b"),
        ];
        assert_eq!(first, expected.map(|(name, value)| (name, value.to_owned())));
        let later = question(&config, &node, Some(&at("e", 1842)), 7);
        let resume = [("last-event-id", "1842".to_owned()), ("x-hfi-epoch", "e".to_owned())];
        assert_eq!(later, [first.as_slice(), &resume].concat());
    }

    fn answer(version: &'static str, epoch: &'static str, body: &'static str) -> Answer<'static> {
        let body = body.as_bytes();
        Answer { status: "200", content_type: "text/event-stream", version, epoch, body, ..Answer::default() }
    }

    #[test]
    fn how_old_an_answer_is() {
        let table = [
            ("0", 0),
            ("61250", 61_250),
            ("", 0),
            ("-5", 0),
            ("1.5", 0),
            ("soon", 0),
            ("99999999999999999999", 0),
        ];
        for (age_ms, age) in table {
            assert_eq!(
                Answer { age_ms, ..Answer::default() }.age(),
                Duration::from_millis(age),
                "{age_ms:?}"
            );
        }
    }

    #[test]
    fn what_an_answer_means() {
        let event = "id: 9\nevent: update\ndata: {}\n\n";
        let other = "event: other\ndata: x\n\n";
        let two = "event: update\ndata: old\n\nevent: update\ndata: new\n\n";
        let table = [
            ("an event", answer("9", "e", event), Reply::Update("{}".to_owned())),
            ("an event without headers", answer("", "", event), Reply::Update("{}".to_owned())),
            ("the newest of two", answer("9", "e", two), Reply::Update("new".to_owned())),
            ("time is up", answer("8", "e", ": nothing new\n\n"), Reply::Current(at("e", 8))),
            ("time is up, and others had changes", answer("11", "e", ": \n\n"), Reply::Current(at("e", 11))),
            ("an unknown event", answer("8", "e", other), Reply::Current(at("e", 8))),
            ("a replica that lags behind", answer("7", "e", ": \n\n"), Reply::Behind(at("e", 7))),
            (
                "another store, without its rules",
                answer("7", "f", ": \n\n"),
                Reply::Wrong("no event, though the store is another".to_owned()),
            ),
            (
                "no version",
                answer("", "e", ": \n\n"),
                Reply::Wrong("no event, and x-hfi-version \"\"".to_owned()),
            ),
            (
                "a page of somebody else",
                Answer { status: "200", content_type: "text/html", ..Answer::default() },
                Reply::Wrong("content-type \"text/html\" in place of an event stream".to_owned()),
            ),
            (
                "not found",
                Answer { status: "404", ..Answer::default() },
                Reply::Wrong("status 404".to_owned()),
            ),
            (
                "starting",
                Answer { status: "503", ..Answer::default() },
                Reply::Unreachable("status 503".to_owned()),
            ),
            ("gone", Answer::default(), Reply::Unreachable("no answer".to_owned())),
        ];
        let ours = at("e", 8);
        for (about, answer, reply) in table {
            assert_eq!(answer.read(Some(&ours)), reply, "{about}");
        }
        let unknown = Reply::Unreachable("no event, though nothing was known".to_owned());
        assert_eq!(answer("8", "e", ": \n\n").read(None), unknown);
    }
}
