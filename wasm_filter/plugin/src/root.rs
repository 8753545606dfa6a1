//! The root context: one in each VM and for each bootstrap. Wires the callbacks of the host to the parts.

use std::rc::Rc;
use std::time::Duration;

use hfi_engine::config::PluginConfig;
use hfi_engine::probe::Probes;
use hfi_engine::sync::roster::SIGN_EVERY;
use hfi_engine::sync::staleness::Change;

use crate::filter::Filter;
use crate::follower::Follower;
use crate::leader::Leader;
use crate::{host, node, shared};

/// Drives the lease, the roster and the dead-man's switch. Nothing waits for it but those.
const SLOW_TICK: Duration = Duration::from_secs(1);

/// The root context.
pub struct Root {
    context: u32,
    filter: Rc<Filter>,
    configured: Option<Configured>,
}

struct Configured {
    filter: Rc<Filter>,
    queue: u32,
    follower: Follower,
    leader: Leader,
    next_slow_tick: Duration,
    next_signature: Duration,
}

impl Root {
    pub fn new(context: u32) -> Root {
        Root { context, filter: Rc::default(), configured: None }
    }

    /// Whether it is that context.
    pub fn is(&self, context: u32) -> bool {
        self.context == context
    }

    /// What its requests share.
    pub fn filter(&self) -> &Rc<Filter> {
        &self.filter
    }

    fn configure(&mut self, config: PluginConfig) {
        let now = host::monotonic();
        let id = host::random();
        self.filter.configure(Probes::new(config.probe_paths.iter().map(String::as_str)), id);
        self.filter.metrics.define();
        // A queue belongs to who registers it last, so everybody needs a name of their own.
        let queue = host::register_queue(&format!("hfi.{id:016x}")).unwrap_or(0);
        let max_staleness = Duration::from_secs(config.max_staleness_seconds.into());
        let mut configured = Configured {
            filter: Rc::clone(&self.filter),
            queue,
            follower: Follower::new(Rc::clone(&self.filter), max_staleness),
            leader: Leader::new(Rc::clone(&self.filter), config, node::identity(), id, queue),
            next_slow_tick: now,
            next_signature: now,
        };
        // What an earlier VM left, so that a change of the module leaves no gap. The lease is not for now: the
        // main thread has a VM that never ticks, and would hold it without asking anybody.
        configured.follower.catch_up(now);
        self.filter.waiting.rearm(now, now);
        self.configured = Some(configured);
    }
}

impl Root {
    /// Its bootstrap is there. The host starts a root context again when another listener names the same filter.
    pub fn on_configure(&mut self, size: usize) {
        let (config, problems) = PluginConfig::parse(&host::plugin_configuration(size));
        for problem in problems {
            self.filter.metrics.errors.add(1);
            host::warn(&format!("plugin configuration: {problem}; its default is used"));
        }
        self.leave();
        self.configure(config);
    }

    /// Its timer rings.
    pub fn on_tick(&mut self) {
        let now = host::monotonic();
        self.filter.waiting.release_due(now, self.context);
        let Some(configured) = &mut self.configured else { return };
        if configured.next_slow_tick <= now {
            configured.slow_tick(now);
            self.filter.metrics.flush();
        }
        configured.ask(now);
        self.filter.waiting.rearm(now, configured.next(now));
    }

    /// Another VM wakes this one.
    pub fn on_queue_ready(&mut self, queue: u32) {
        host::drain(queue);
        let Some(configured) = &mut self.configured else { return };
        let now = host::monotonic();
        configured.catch_up(now);
        // The leader says by the same message that it resigns.
        configured.leader.campaign(now);
        configured.ask(now);
        self.filter.waiting.rearm(now, configured.next(now));
    }

    /// An HTTP call is answered.
    pub fn on_http_call_response(&mut self, call: u32, body_size: usize) {
        let Some(configured) = &mut self.configured else { return };
        let now = host::monotonic();
        configured.leader.answered(call, body_size, &mut configured.follower, now);
        configured.catch_up(now);
        configured.ask(now);
        self.filter.waiting.rearm(now, configured.next(now));
    }
}

/// It is over.
impl Drop for Root {
    fn drop(&mut self) {
        self.leave();
        self.filter.waiting.disarm();
        self.filter.metrics.flush();
    }
}

impl Root {
    /// Gives back what others would have to wait for.
    fn leave(&mut self) {
        if let Some(mut configured) = self.configured.take() {
            shared::update_roster(|roster| roster.strike_off(&[configured.queue]));
            configured.leader.resign();
        }
    }
}

impl Configured {
    fn slow_tick(&mut self, now: Duration) {
        self.next_slow_tick = now + SLOW_TICK;
        if self.next_signature <= now {
            self.next_signature = now + SIGN_EVERY;
            let signature = self.leader.signature();
            shared::update_roster(|roster| roster.sign(signature, now));
            self.filter.keep_places(now);
        }
        self.catch_up(now);
        self.leader.campaign(now);
        if let (true, Some(heard)) = (self.leader.leads(), self.follower.heard()) {
            self.filter.metrics.snapshot_age_seconds.record(now.saturating_sub(heard).as_secs());
        }
    }

    fn catch_up(&mut self, now: Duration) {
        let change = self.follower.catch_up(now);
        // One voice is enough.
        match change.filter(|_| self.leader.leads()) {
            Some(Change::Stopped(silence)) => {
                host::warn(&format!(
                    "nothing heard from the control plane for {} s: faults stop",
                    silence.as_secs()
                ));
            }
            Some(Change::Resumed) => host::info("the control plane is heard again: faults go on"),
            None => {}
        }
    }

    fn ask(&mut self, now: Duration) {
        self.leader.ask(now, self.follower.position());
    }

    /// When this context has something to do, held requests aside.
    fn next(&self, now: Duration) -> Duration {
        let next = self.leader.next().map_or(self.next_slow_tick, |poll| poll.min(self.next_slow_tick));
        next.max(now)
    }
}
