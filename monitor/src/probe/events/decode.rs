//! From the raw bytes of an event to the event. No input or output here.

use std::time::Duration;

use monitor_common::{
    Pod,
    event::{
        EXEC_HEAD, Exit, Fork, Header, Kind as RawKind, OomKill, RSS_ANON, RSS_FILE, RSS_SHMEM,
        RSS_SWAP, Slow,
    },
};

use crate::event::{self, Among, Argv, Clock, Ending, Event, Kind, Sizes, What};

/// Of what kind the event is that the bytes are; `None` when a program of another version wrote them.
pub(super) fn kind(bytes: &[u8]) -> Option<Kind> {
    const KINDS: [(RawKind, Kind); 5] = [
        (RawKind::Fork, Kind::Fork),
        (RawKind::Exec, Kind::Exec),
        (RawKind::Exit, Kind::Exit),
        (RawKind::OomKill, Kind::OomKill),
        (RawKind::Slow, Kind::Slow),
    ];
    let raw = read::<Header>(bytes)?.kind;
    KINDS.into_iter().find(|(known, _)| *known as u32 == raw).map(|(_, kind)| kind)
}

/// The event that the bytes are; `None` when a program of another version wrote them. A latency's place
/// and subject tell what it is `among`.
pub(super) fn decode<S: Pod>(
    bytes: &[u8],
    (clock, page_bytes): (&Clock, u64),
    among: &mut dyn FnMut(usize, &S) -> Option<Among>,
) -> Option<Event> {
    let header: Header = read(bytes)?;
    let what = match kind(bytes)? {
        Kind::Fork => What::Fork { child: read::<Fork>(bytes)?.child },
        Kind::Exec => What::Exec { argv: argv(bytes)? },
        Kind::Exit => {
            let exit: Exit = read(bytes)?;
            What::Exit {
                ending: Ending::from_status(exit.status),
                lifetime: Duration::from_nanos(exit.lifetime_ns),
                peak_rss_bytes: exit.peak_rss_pages.saturating_mul(page_bytes),
            }
        }
        Kind::OomKill => What::OomKill(oom_kill(&read(bytes)?, page_bytes)),
        Kind::Slow => {
            let Slow { latency_ns, latency, tid, subject, .. } = slow(bytes)?;
            What::Slow(event::Slow {
                latency: Duration::from_nanos(latency_ns),
                tid: (tid != 0).then_some(tid),
                among: among(latency as usize, &subject)?,
            })
        }
    };
    let parent = (header.parent != 0).then_some(header.parent);
    Some(Event { time: clock.at(header.time_ns), process: (&header.key).into(), parent, what })
}

/// The slow latency that the bytes are, if they are one.
pub(super) fn slow<S: Pod>(bytes: &[u8]) -> Option<Slow<S>> {
    if kind(bytes)? == Kind::Slow { read(bytes) } else { None }
}

/// The arguments of an executed program, if they were read.
fn argv(bytes: &[u8]) -> Option<Option<Argv>> {
    let counts: [u32; 2] = read(bytes.get(size_of::<Header>()..)?).map(|Counts(counts)| counts)?;
    let [total, sent] = counts.map(|count| count as usize);
    let argv = bytes.get(EXEC_HEAD..EXEC_HEAD + sent)?;
    Some((sent > 0 || total == 0).then(|| Argv::new(argv, total)))
}

fn oom_kill(raw: &OomKill, page_bytes: u64) -> event::OomKill {
    // The kernel's counters are sums of several CPUs' that may be negative for a moment.
    let bytes = |pages: u64| u64::try_from(pages as i64).unwrap_or(0).saturating_mul(page_bytes);
    let rss = raw.rss_pages.map(bytes);
    let name = raw.memory_cgroup.split(|byte| *byte == 0).next().unwrap_or_default();
    event::OomKill {
        memory_cgroup_id: raw.memory_cgroup_id,
        memory_cgroup: String::from_utf8_lossy(name).into_owned(),
        sizes: (raw.has_sizes != 0).then(|| Sizes {
            virtual_bytes: bytes(raw.total_pages),
            anonymous_bytes: rss[RSS_ANON],
            file_bytes: rss[RSS_FILE],
            shared_bytes: rss[RSS_SHMEM],
            swapped_bytes: rss[RSS_SWAP],
        }),
    }
}

/// What follows the header of an executed program: bytes of arguments there are, and bytes sent.
#[repr(C)]
#[derive(Clone, Copy)]
struct Counts([u32; 2]);

monitor_common::pod!(Counts);

/// The value that the bytes begin with; `None` when they are too few.
pub(in crate::probe) fn read<T: Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    #[expect(unsafe_code, reason = "the kernel's programs write plain bytes")]
    // SAFETY: there are enough bytes, and every bit pattern is valid.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests;
