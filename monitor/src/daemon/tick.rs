//! The tick loop: ends the kernel's banks, takes what is in them, and publishes a view.

use std::{
    fmt::Display,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::{runtime::Handle, sync::watch};

use super::{
    events::{self, Teller},
    names,
    probes::{Loaded, load_probes, switch_probes},
    slowest::Slowest,
};
use crate::{
    agent::Agent,
    aggregate::Aggregate,
    attribution::{Attributor, CgroupMount, Group},
    audit::Audit,
    cgroup::Cgroups,
    config::Config,
    event::{Kind, What},
    export::{Credentials, http::Aborted, otlp::Records},
    host::{self, Host, Problem},
    kernel::{attach::Verdict, namespace},
    probe::{self, ProbeError},
    sample::{CgroupEvent, Owner},
    view::{ProbeStatus, View},
};

/// Everything that is done once a tick.
pub(super) struct Ticker {
    probes: Vec<Loaded>,
    attributor: Attributor,
    aggregate: Aggregate,
    /// The host's gauges, where they can be read.
    host: Option<Host>,
    cgroups: Cgroups,
    agent: Agent,
    audit: Audit,
    /// Where events go, and what became of all that was sent.
    records: Arc<Records>,
    aborted: Arc<Aborted>,
    credentials: Arc<Credentials>,
    config: Config,
    /// Where cgroups tell processes apart.
    mount: Option<CgroupMount>,
    tick: u64,
    /// When the last new snapshots were taken.
    last: Instant,
    /// How long the last tick took.
    took: Duration,
    /// What did not work from the start.
    problems: Vec<String>,
    /// Runs tasks between ticks. `monitor check` has none.
    runtime: Option<Handle>,
}

impl Ticker {
    /// Loads everything. What does not work is reported in the view, and the rest goes on.
    pub(super) fn new(
        config: &Config,
        records: Arc<Records>,
        aborted: Arc<Aborted>,
        credentials: Arc<Credentials>,
    ) -> Self {
        let now = SystemTime::now();
        let paths = config.host.paths();
        let mut problems = Vec::new();
        or_problem(namespace::check(), &mut problems);
        let mount = or_problem(CgroupMount::detect(&paths), &mut problems);
        let probes = load_probes(config, mount.as_ref());
        let mut attributor = Attributor::new(config.groups.by, &paths, mount.clone());
        // Those that are created from now on are reported.
        attributor.search();
        let names = attributor.names();
        let mut ticker = Self {
            probes,
            attributor,
            aggregate: Aggregate::new(config.groups.top, now, host::booted(now)),
            cgroups: Cgroups::new(&paths, mount.as_ref(), names),
            host: or_problem(Host::new(&paths), &mut problems),
            agent: Agent::default(),
            audit: Audit::new(&paths),
            records,
            aborted,
            credentials,
            config: config.clone(),
            mount,
            tick: 0,
            last: Instant::now(),
            took: Duration::ZERO,
            problems,
            runtime: Handle::try_current().ok(),
        };
        ticker.read_names();
        ticker
    }

    /// Has the names of containers read from now on as soon as their cgroups are created.
    fn read_names(&mut self) {
        let Some(runtime) = &self.runtime else { return };
        let probes = self.probes.iter_mut().filter_map(Loaded::probe_mut);
        for creations in probes.filter_map(|probe| probe.creations()) {
            runtime.spawn(names::read(creations, self.attributor.names()));
        }
    }

    /// What is known before the first tick.
    pub(super) fn first_view(&self) -> View {
        View {
            probes: self.statuses(),
            problems: self.problems.clone(),
            ..View::empty(self.config.interval)
        }
    }

    /// How each probe does.
    fn statuses(&self) -> Vec<ProbeStatus> {
        self.probes
            .iter()
            .map(|loaded| loaded.status(self.audit.deviation(loaded.desc.name)))
            .collect()
    }

    /// Ticks until the other end of `configs` is dropped; takes the configurations that come.
    pub(super) fn run(mut self, views: &watch::Sender<Arc<View>>, configs: &Receiver<Config>) {
        // What was counted while one probe after the other was attached is of no interval.
        self.tick();
        let mut due = Instant::now();
        loop {
            due += self.config.interval;
            let now = Instant::now();
            if due < now {
                // Late by more than an interval: the ticks in between are lost, not made up for.
                due = now;
            }
            let mut are_whole = true;
            match configs.recv_timeout(due - now) {
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(config) => {
                    are_whole = !self.reload(configs.try_iter().last().unwrap_or(config));
                    // Ticks at once, so that all can see what has changed.
                    due = Instant::now();
                }
            }
            let mut view = self.tick();
            if !are_whole {
                // The probe that they are of may not have run for all of the interval.
                view.processes.clear();
            }
            if views.send(Arc::new(view)).is_err() {
                return;
            }
        }
    }

    /// Changes to another configuration. What has been counted stays. Returns whether probes were turned on
    /// or off.
    fn reload(&mut self, config: Config) -> bool {
        let old = std::mem::replace(&mut self.config, config);
        let switched = switch_probes(&mut self.probes, &self.config, self.mount.as_ref());
        for probe in &switched {
            self.aggregate.forget(probe.name, probe.metrics);
            self.audit.forget(probe.name);
        }
        self.read_names();
        let groups = &self.config.groups;
        if groups.by != old.groups.by {
            self.attributor.set_group_by(groups.by);
            self.aggregate.regroup();
        }
        self.aggregate.set_top(groups.top);
        !switched.is_empty()
    }

    fn tick(&mut self) -> View {
        let begin = Instant::now();
        let (taken, is_new) = self.take_snapshots();
        let (now, elapsed) = (SystemTime::now(), taken - self.last);
        if is_new {
            self.last = taken;
        }
        if self.aggregate.begin(now, elapsed, host::booted(now)) {
            tracing::warn!(
                "the wall clock stepped back to before the start of some series; all series are reset"
            );
        }
        for probe in self.probes.iter().filter_map(Loaded::probe).filter(|_| is_new) {
            probe.cgroups(&mut |change| {
                if change.what == CgroupEvent::Created {
                    self.attributor.created(change.id, change.path);
                }
                self.cgroups.changed(&change, &mut |group, metric, attributes, increase| {
                    self.aggregate.add_place(group, metric, attributes, increase);
                });
            });
        }
        for loaded in self.probes.iter_mut().filter(|_| is_new) {
            let Some(probe) = loaded.probe_mut() else { continue };
            probe.decode(&mut |sample| {
                self.aggregate.add(&sample, || group_of(sample.owner, &mut self.attributor));
            });
            let teller = Teller { config: &self.config.events, records: &self.records };
            let mut slow = Slowest::new(self.config.events.slowest);
            probe.events(&|kind| kind == Kind::Slow || teller.wants(kind), &mut |event| {
                let group = group_of(event.process.into(), &mut self.attributor);
                let What::Slow(it) = &event.what else { return teller.tell(event, &group) };
                // The tick under way is the next.
                let exemplar = Arc::new(events::exemplar(self.tick + 1, &event, it));
                self.aggregate.exemplify(&group, &it.among, &exemplar);
                slow.add(it.latency, (event, group));
            });
            let (slow, suppressed) = slow.split();
            slow.into_iter().for_each(|(event, group)| teller.tell(event, &group));
            if teller.wants(Kind::Slow) {
                loaded.suppressed += suppressed;
            }
        }
        self.cgroups.collect(&mut |group, metric, attributes, increase| {
            self.aggregate.add_place(group, metric, attributes, increase);
        });
        let probes = self.statuses();
        self.refresh(&probes);
        self.tick += 1;
        let (series, processes) = self.aggregate.finish(now, elapsed);
        let probes_run = |name: &str, hooks: &[&str]| {
            let is_attached =
                |verdict: &Verdict| hooks.contains(&verdict.hook) && verdict.state.is_attached();
            let mut probes = self.probes.iter().filter(|loaded| loaded.desc.name == name);
            probes.any(|loaded| {
                let verdicts = loaded.probe().map(|probe| probe.verdicts());
                verdicts
                    .is_some_and(|verdicts| hooks.is_empty() || verdicts.iter().any(is_attached))
            })
        };
        self.audit.compare(&series, probes_run);
        let host = self.host.iter().flat_map(Host::problems);
        let (absent, problems): (Vec<_>, Vec<_>) = host.partition(Problem::is_absence);
        let sentence = |of: Problem<'_>| of.to_string();
        let known = self.problems.iter().cloned();
        let of_probes = self.probes.iter().filter_map(Loaded::probe).flat_map(|it| it.absent());
        let view = View {
            tick: self.tick,
            time: now,
            interval: elapsed,
            series,
            processes,
            probes,
            audit: self.audit.rows().to_vec(),
            problems: known
                .chain(problems.into_iter().map(sentence))
                .chain(self.credentials.problems())
                .collect(),
            absent: of_probes
                .chain(self.cgroups.absent())
                .chain(absent.into_iter().map(sentence))
                .chain(self.audit.unavailable().map(|reason| format!("audit: {reason}")))
                .collect(),
            ..View::empty(self.config.interval)
        };
        self.took = begin.elapsed();
        view
    }

    /// Takes the snapshots of all probes, for the same span of time, and says when, and whether they are
    /// new: those of the tick before must not be decoded again. The kernel's own counters go on while
    /// programs are waited for, which on a busy host takes a while.
    fn take_snapshots(&mut self) -> (Instant, bool) {
        self.audit.before_flip(Instant::now());
        let ended: Vec<_> =
            self.probes.iter_mut().map(|loaded| loaded.attempt(|probe| probe.end_tick())).collect();
        let waited = probe::wait_for_programs();
        let taken = Instant::now();
        self.audit.after_flip();
        for (loaded, failure) in self.probes.iter_mut().zip(ended) {
            // What programs may still be writing to stays for the next tick.
            let taken = loaded.attempt(|probe| match &waited {
                Ok(()) => probe.snapshot(),
                Err(error) => {
                    Err(ProbeError::Wait(io::Error::new(error.kind(), error.to_string())))
                }
            });
            loaded.note(failure.or(taken));
        }
        (taken, waited.is_ok())
    }

    /// Reads all that somebody else keeps, and tells how each probe does.
    fn refresh(&mut self, statuses: &[ProbeStatus]) {
        self.aggregate.refresh(|sink| {
            if let Some(host) = &mut self.host {
                host.collect(sink);
            }
            self.agent.tick(self.took, sink);
            self.records.ledger().collect(sink);
            self.aborted.collect(sink);
            self.credentials.collect(sink);
            self.agent.lost("attribution", "unresolved", self.attributor.unresolved(), sink);
            if let Some(age) = self.cgroups.age() {
                self.agent.reading_age(age, sink);
            }
            for (reason, count) in self.cgroups.lost() {
                self.agent.lost("cgroups", reason, count, sink);
            }
            for row in self.audit.rows() {
                Agent::audit(row, sink);
            }
            for status in statuses {
                self.agent.status(status, sink);
            }
            for loaded in &self.probes {
                let Some(probe) = loaded.probe() else { continue };
                self.agent.costs(loaded.desc.name, probe, sink);
                if loaded.desc.slow.is_some() {
                    self.agent.lost(loaded.desc.name, "suppressed", loaded.suppressed, sink);
                }
            }
        });
    }
}

/// How long `monitor check` measures at most.
const LONGEST_AUDIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Measures for `span` and until the tick under way then is over, as the daemon does, and compares what was
/// counted with the kernel's counters.
pub fn audit(config: &Config, span: Duration) -> View {
    let mut ticker = Ticker::new(config, Records::new(), Arc::default(), Arc::default());
    ticker.tick();
    let end = Instant::now() + span.min(LONGEST_AUDIT);
    ticker.audit.end_round_at(end);
    loop {
        thread::sleep(end.saturating_duration_since(Instant::now()).min(config.interval));
        let is_last = Instant::now() >= end;
        let view = ticker.tick();
        if is_last {
            return view;
        }
    }
}

/// The group that something is counted in; one without a name for what no process is known of.
fn group_of(owner: Owner, attributor: &mut Attributor) -> Arc<Group> {
    match owner {
        Owner::Process(process) => attributor.group(&process),
        Owner::Host | Owner::Rest => Arc::default(),
    }
}

/// The value; or none, with the reason among the problems.
fn or_problem<T, E: Display>(result: Result<T, E>, problems: &mut Vec<String>) -> Option<T> {
    result
        .inspect_err(|error| {
            tracing::warn!("{error}");
            problems.push(error.to_string());
        })
        .ok()
}
