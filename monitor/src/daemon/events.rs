//! Telling events: as structured records among the daemon's logs, and by OTLP; and slow latencies as
//! exemplars.

use tracing::Level;

use crate::{
    attribution::Group,
    config::EventsConfig,
    event::{Argv, Ending, Event, Kind, Slow, What, signal_name},
    export::otlp::Records,
    sample::Attributes,
    view::Exemplar,
};

/// Tells events as a configuration says.
pub(super) struct Teller<'a> {
    pub(super) config: &'a EventsConfig,
    pub(super) records: &'a Records,
}

impl Teller<'_> {
    /// Whether events of a kind go anywhere. There may be thousands that nobody wants.
    pub(super) fn wants(&self, kind: Kind) -> bool {
        is_logged(kind) || self.is_sent(kind)
    }

    /// Tells an event of a process of a group, without what is secret in it.
    pub(super) fn tell(&self, mut event: Event, group: &Group) {
        let kind = event.what.kind();
        self.config.argv.apply(&mut event);
        if is_logged(kind) {
            log(&event, group);
        }
        if self.is_sent(kind) {
            self.records.push_event(&event, group);
        }
    }

    fn is_sent(&self, kind: Kind) -> bool {
        self.records.is_open() && self.config.export.contains(&kind)
    }
}

fn is_logged(kind: Kind) -> bool {
    match kind {
        Kind::OomKill => tracing::enabled!(target: "monitor::event", Level::WARN),
        _ => tracing::enabled!(target: "monitor::event", Level::DEBUG),
    }
}

/// A slow latency as an example of what series count, told in a tick.
pub(super) fn exemplar(tick: u64, event: &Event, slow: &Slow) -> Exemplar {
    let process = &event.process;
    let mut who = vec![
        ("process.executable.name", process.command().into_owned()),
        ("process.pid", process.pid.to_string()),
    ];
    who.extend(slow.tid.map(|tid| ("thread.id", tid.to_string())));
    let (time, latency) = (event.time, slow.latency);
    Exemplar { tick, time, latency, attributes: Attributes::new(who) }
}

/// Attributes as one text, if there are some.
fn words(attributes: &Attributes) -> Option<String> {
    let words: Vec<_> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Logs an event. What happens all the time is told at the level `debug`; a process that was killed
/// for want of memory at `warn`. The target of all is `monitor::event`.
fn log(event: &Event, group: &Group) {
    let pid = event.process.pid;
    let comm = event.process.command();
    let (container, unit) = (group.container_id.as_deref(), group.systemd_unit.as_deref());
    macro_rules! tell {
        ($level:ident, $($field:tt)*) => {
            tracing::$level!(
                target: "monitor::event",
                event = event.what.kind().name(),
                time = %humantime::format_rfc3339_nanos(event.time),
                pid,
                ppid = event.parent,
                comm = %comm,
                cgroup_id = event.process.cgroup_id,
                container_id = container,
                systemd_unit = unit,
                $($field)*
                "{}",
                event.what.text()
            )
        };
    }
    match &event.what {
        What::Fork { child } => tell!(debug, child = *child,),
        What::Exec { argv } => {
            let text = argv.as_ref().map(|argv| argv.words.join(" "));
            let is_cut = argv.as_ref().map(|Argv { is_cut, .. }| *is_cut);
            tell!(debug, argv = text.as_deref(), argv_cut = is_cut,);
        }
        What::Exit { ending, lifetime, peak_rss_bytes } => {
            let (code, signal, core_dumped) = match *ending {
                Ending::Code(code) => (Some(code), None, None),
                Ending::Signal { number, core_dumped } => {
                    (None, Some(signal_name(number)), Some(core_dumped))
                }
            };
            tell!(
                debug,
                exit_code = code,
                signal = signal.as_deref(),
                core_dumped,
                lifetime_s = lifetime.as_secs_f64(),
                peak_rss_bytes = *peak_rss_bytes,
            );
        }
        What::Slow(Slow { latency, tid, among }) => tell!(
            debug,
            tid = *tid,
            metric = among.group.metric.name,
            latency_s = latency.as_secs_f64(),
            subject = words(&among.subject).as_deref(),
        ),
        What::OomKill(victim) => tell!(
            warn,
            memory_cgroup = victim.memory_cgroup.as_str(),
            memory_cgroup_id = victim.memory_cgroup_id,
            virtual_bytes = victim.sizes.map(|sizes| sizes.virtual_bytes),
            anonymous_bytes = victim.sizes.map(|sizes| sizes.anonymous_bytes),
            file_bytes = victim.sizes.map(|sizes| sizes.file_bytes),
            shared_bytes = victim.sizes.map(|sizes| sizes.shared_bytes),
            swapped_bytes = victim.sizes.map(|sizes| sizes.swapped_bytes),
        ),
    }
}
