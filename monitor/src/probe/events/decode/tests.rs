//! Raw bytes in, events out.

use std::time::SystemTime;

use monitor_common::{
    event::{ARGV_LEN, CGROUP_NAME_LEN, Exec},
    key::ProcessKey,
};

use super::*;
use crate::{
    event::SeriesKey,
    metric::{PROCESS_RUNQUEUE_LATENCY, SCHED_RUNQUEUE_LATENCY},
    sample::Attributes,
};

const CLOCK: Clock = Clock { wall: SystemTime::UNIX_EPOCH, monotonic_ns: 0 };

fn header(kind: RawKind) -> Header {
    let key = ProcessKey { tgid: 42, cgroup_id: 7, ..ProcessKey::default() };
    Header { kind: kind as u32, parent: 1, time_ns: 9, key }
}

fn bytes<T: Pod>(value: &T) -> Vec<u8> {
    #[expect(unsafe_code, reason = "the kernel's programs write plain bytes")]
    // SAFETY: plain bytes without padding.
    unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()).to_vec()
    }
}

/// What a latency with that place and subject is among: its subject says so.
fn among(latency: usize, subject: &u64) -> Option<Among> {
    let key = |metric| SeriesKey { metric, attributes: Attributes::default() };
    let subject = Attributes::new([("disk.io.direction", subject.to_string())]);
    let among = Among {
        subject,
        group: key(&PROCESS_RUNQUEUE_LATENCY),
        host: key(&SCHED_RUNQUEUE_LATENCY),
    };
    (latency == 1).then_some(among)
}

/// What happened, which the kind tells beforehand.
fn what(bytes: &[u8]) -> Option<What> {
    let event = decode(bytes, (&CLOCK, 4096), &mut among)?;
    assert_eq!((event.process.pid, event.process.cgroup_id, event.parent), (42, 7, Some(1)));
    assert_eq!(event.time, SystemTime::UNIX_EPOCH + Duration::from_nanos(9));
    let told = match event.what {
        What::Fork { .. } => Kind::Fork,
        What::Exec { .. } => Kind::Exec,
        What::Exit { .. } => Kind::Exit,
        What::OomKill(_) => Kind::OomKill,
        What::Slow(_) => Kind::Slow,
    };
    assert_eq!(kind(bytes), Some(told));
    Some(event.what)
}

#[test]
fn forks_and_exits() {
    let fork = Fork { header: header(RawKind::Fork), child: 43, unused: 0 };
    assert_eq!(what(&bytes(&fork)), Some(What::Fork { child: 43 }));
    let exit = Exit {
        header: header(RawKind::Exit),
        lifetime_ns: 1_000_000_000,
        peak_rss_pages: 3,
        status: 0x0200,
        unused: 0,
    };
    let told = What::Exit {
        ending: Ending::Code(2),
        lifetime: Duration::from_secs(1),
        peak_rss_bytes: 3 * 4096,
    };
    assert_eq!(what(&bytes(&exit)), Some(told));
}

#[test]
fn arguments_may_be_few_many_or_unread() {
    let exec = |total, text: &[u8]| {
        let mut argv = [0; ARGV_LEN];
        argv[..text.len()].copy_from_slice(text);
        let read = text.len();
        let header = header(RawKind::Exec);
        let mut bytes = bytes(&Exec { header, argv_bytes: total, argv_read: read as u32, argv });
        bytes.truncate(EXEC_HEAD + read);
        bytes
    };
    let told = |total, text: &[u8]| Some(What::Exec { argv: Some(Argv::new(text, total)) });
    assert_eq!(what(&exec(6, b"ls\0-l\0")), told(6, b"ls\0-l\0"));
    assert_eq!(what(&exec(600, &[b'a'; ARGV_LEN])), told(600, &[b'a'; ARGV_LEN]));
    assert_eq!(what(&exec(0, b"")), told(0, b""));
    assert_eq!(what(&exec(6, b"")), Some(What::Exec { argv: None }));
    // Fewer bytes than it says.
    assert_eq!(what(&exec(6, b"ls\0-l\0")[..EXEC_HEAD + 3]), None);
}

#[test]
fn victims_have_sizes_and_a_cgroup() {
    let mut memory_cgroup = [0; CGROUP_NAME_LEN];
    memory_cgroup[..2].copy_from_slice(b"db");
    let oom = OomKill {
        header: header(RawKind::OomKill),
        memory_cgroup_id: 5,
        has_sizes: 1,
        total_pages: 9,
        rss_pages: [1, 2, u64::MAX, 4],
        memory_cgroup,
    };
    let told = event::OomKill {
        memory_cgroup_id: 5,
        memory_cgroup: "db".to_owned(),
        sizes: Some(Sizes {
            virtual_bytes: 9 * 4096,
            anonymous_bytes: 2 * 4096,
            file_bytes: 4096,
            shared_bytes: 4 * 4096,
            swapped_bytes: 0,
        }),
    };
    assert_eq!(what(&bytes(&oom)), Some(What::OomKill(told.clone())));
    let unknown = event::OomKill { sizes: None, ..told };
    assert_eq!(what(&bytes(&OomKill { has_sizes: 0, ..oom })), Some(What::OomKill(unknown)));
}

#[test]
fn slow_latencies_are_among_what_their_probe_says() {
    let (header, latency_ns, subject) = (header(RawKind::Slow), 1_500_000_000, 3u64);
    let slow = Slow { header, latency_ns, latency: 1, tid: 44, subject };
    let told = |tid| {
        let (latency, among) = (Duration::from_millis(1500), among(1, &subject).unwrap());
        Some(What::Slow(event::Slow { latency, tid, among }))
    };
    assert_eq!(what(&bytes(&slow)), told(Some(44)));
    assert_eq!(what(&bytes(&Slow { tid: 0, ..slow })), told(None));
    // Of another version.
    assert_eq!(what(&bytes(&Slow { latency: 2, ..slow })), None);
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut fork = bytes(&Fork { header: header(RawKind::Fork), child: 1, unused: 0 });
    assert_eq!(what(&fork[..fork.len() - 1]), None);
    fork[0] = 99;
    assert_eq!((kind(&fork), what(&fork)), (None, None));
    assert_eq!(what(&[]), None);
}
