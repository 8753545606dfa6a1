//! Asking the control plane, while one leads, and passing on what it says.

use std::rc::Rc;
use std::time::Duration;

use hfi_engine::chance::SeededRolls;
use hfi_engine::config::PluginConfig;
use hfi_engine::sync::cache::{Cached, Position, Pulse};
use hfi_engine::sync::clock::ServerClock;
use hfi_engine::sync::lease::Candidate;
use hfi_engine::sync::poll::{Answer, Node, Poller, Reply, question};
use hfi_engine::sync::roster::Signature;

use crate::filter::Filter;
use crate::follower::Follower;
use crate::pairs::pairs;
use crate::{host, shared};
use hfi_engine::snapshot::{Compiled, Compiler};

/// One VM's part in leading.
pub struct Leader {
    filter: Rc<Filter>,
    config: PluginConfig,
    node: Node,
    me: Candidate,
    /// This VM's own queue, which it need not wake.
    queue: u32,
    leads: bool,
    /// Remembers what it has compiled, while one leads.
    compiler: Compiler,
    poller: Poller,
    call: Option<u32>,
    rolls: SeededRolls,
    /// Whether the log knows that the control plane cannot be reached.
    said_unreachable: bool,
}

impl Leader {
    pub fn new(filter: Rc<Filter>, config: PluginConfig, node: Node, id: u64, queue: u32) -> Leader {
        Leader {
            filter,
            me: Candidate { id, generation: config.generation },
            queue,
            leads: false,
            compiler: Compiler::default(),
            poller: Poller::new(&config),
            call: None,
            rolls: SeededRolls::new(id),
            said_unreachable: false,
            config,
            node,
        }
    }

    pub fn leads(&self) -> bool {
        self.leads
    }

    /// When there is something to do next, if one leads.
    pub fn next(&self) -> Option<Duration> {
        self.leads.then(|| self.poller.next())
    }

    /// What this VM signs the roster with.
    pub fn signature(&self) -> Signature {
        Signature { queue: self.queue, generation: self.me.generation, quiet: !self.filter.is_busy() }
    }

    /// Takes, keeps, loses or gives back the lead.
    pub fn campaign(&mut self, now: Duration) {
        let leads = shared::lead(self.me, self.signature(), now);
        let led = std::mem::replace(&mut self.leads, leads);
        if led != self.leads {
            host::info(&format!("{} the lead", if self.leads { "takes" } else { "lost" }));
            self.compiler = Compiler::default();
            self.poller.forget();
            self.call = None;
        }
    }

    /// Leaves the lead to others.
    pub fn resign(&mut self) {
        if std::mem::take(&mut self.leads) {
            shared::resign(self.me);
            shared::wake_others(self.queue);
        }
    }

    /// Asks, if one leads and it is time. The answer comes to the context that is active now.
    pub fn ask(&mut self, now: Duration, position: Option<&Position>) {
        if !self.leads || !self.poller.is_due(now) {
            return;
        }
        let headers = question(&self.config, &self.node, position, self.poller.wait_seconds(&self.config));
        self.call = host::call(&self.config.http_cluster, &headers, self.poller.timeout());
        match self.call {
            Some(_) => self.poller.asked(now),
            None => self.unreachable(now, &format!("Envoy has no cluster {}", self.config.http_cluster)),
        }
    }

    /// The answer to a call of this context's came.
    pub fn answered(&mut self, call: u32, body_size: usize, follower: &mut Follower, now: Duration) {
        if self.call != Some(call) {
            return;
        }
        self.call = None;
        let (headers, body) = (host::call_headers(), host::call_body(body_size));
        let header = |name: &str| {
            let found = pairs(&headers).find(|(key, _)| *key == name.as_bytes());
            found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or_default()
        };
        let answer = Answer {
            status: header(":status"),
            content_type: header("content-type"),
            version: header("x-hfi-version"),
            epoch: header("x-hfi-epoch"),
            age_ms: header("x-hfi-age-ms"),
            body: &body,
        };
        let (reply, age) = (answer.read(follower.position()), answer.age());
        // It may have megabytes, and what is made of it has as many again.
        drop(body);
        match reply {
            Reply::Update(data) => self.update(data, age, follower, now),
            Reply::Current(position) => self.heard(position, age, follower, now),
            Reply::Behind(offered) => self.behind(&offered, follower.position(), now),
            Reply::Unreachable(why) => self.unreachable(now, &why),
            Reply::Wrong(why) => self.wrong(now, &why),
        }
    }

    fn update(&mut self, data: String, age: Duration, follower: &mut Follower, now: Duration) {
        let compiled = self.compiler.compile(data.as_bytes());
        drop(data);
        let Compiled { mut image, left_out } = match compiled {
            Ok(compiled) => compiled,
            Err(error) => return self.wrong(now, &error.to_string()),
        };
        let Some(rules) = follower.open(image.clone()) else {
            return self.wrong(now, "what was compiled cannot be opened");
        };
        let offered = Position { epoch: rules.epoch().to_owned(), version: rules.version() };
        if follower.position().is_some_and(|ours| ours.is_ahead_of(&offered)) {
            return self.behind(&offered, follower.position(), now);
        }
        for left_out in &left_out {
            self.filter.metrics.errors.add(1);
            host::warn(&format!("left out {}/{}: {}", left_out.policy, left_out.rule, left_out.problem));
        }
        let clock = ServerClock::new(rules.server_time_ms(), host::wall(), now);
        let stamp = now;
        // First the snapshot, then what names it, then who is to look.
        Cached { stamp, clock }.put_behind(&mut image);
        shared::set_snapshot(&image);
        drop(image);
        // Another epoch is news, but not so urgent: two stores behind one address would be asked in turns, each
        // for its own, as fast as they answer.
        let progress = follower
            .position()
            .is_none_or(|ours| ours.epoch == offered.epoch && ours.version != offered.version);
        shared::set_pulse(&Pulse::of(follower.pulse(), now, age, stamp, offered));
        shared::wake_others(self.queue);
        host::info(&format!("version {}: {} rules", rules.version(), rules.len()));
        follower.take_over(rules, clock, stamp);
        self.worked(now, progress);
    }

    fn heard(&mut self, position: Position, age: Duration, follower: &Follower, now: Duration) {
        if let Some(stamp) = follower.stamp() {
            shared::set_pulse(&Pulse::of(follower.pulse(), now, age, stamp, position));
        }
        self.worked(now, false);
    }

    fn worked(&mut self, now: Duration, progress: bool) {
        if std::mem::take(&mut self.said_unreachable) {
            host::info("the control plane is back");
        }
        self.poller.worked(now, progress);
    }

    fn behind(&mut self, offered: &Position, ours: Option<&Position>, now: Duration) {
        let ours = ours.map_or(0, |ours| ours.version);
        self.wrong(now, &format!("a stale replica offers version {}; {ours} is kept", offered.version));
    }

    fn wrong(&mut self, now: Duration, why: &str) {
        self.filter.metrics.errors.add(1);
        let wait = self.poller.failed(now, &mut self.rolls);
        host::warn(&format!("the control plane answered wrongly ({why}); asking again in {wait:.1?}"));
    }

    fn unreachable(&mut self, now: Duration, why: &str) {
        let wait = self.poller.failed(now, &mut self.rolls);
        if !std::mem::replace(&mut self.said_unreachable, true) {
            host::warn(&format!(
                "the control plane cannot be reached ({why}); the cached rules go on; asking again in {wait:.1?}"
            ));
        }
    }
}
