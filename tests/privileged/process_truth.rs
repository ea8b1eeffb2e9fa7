//! What the `process` probe reports, against what the parent of the same processes is told by the
//! kernel.

use std::collections::HashMap;

use monitor::{
    event::{Ending, Event, What},
    metric::{PROCESS_EXECS, PROCESS_EXITS, PROCESS_FORKS, PROCESS_THREADS_CREATED},
};
use monitor_tests::{Collected, Collector, Workload, kernel, serial};

/// What `wait4` said of a child.
#[derive(Debug)]
struct Ended {
    status: u32,
    peak_rss_bytes: u64,
}

/// Runs a workload of children; returns what was reported, and what `wait4` said by process id.
fn children(mode: &str, total: u64) -> (Collected, HashMap<u32, Ended>) {
    let collector = Collector::start(&kernel(), "process");
    let parent = Workload::start("mt-exits", [mode, &total.to_string()]);
    let numbers = parent.done();
    parent.end();
    let collected = collector.stop();
    let ended = numbers.chunks(3).map(|child| {
        let [pid, status, peak_kib] = child[..] else { panic!("not three numbers: {child:?}") };
        (pid as u32, Ended { status: status as u32, peak_rss_bytes: peak_kib * 1024 })
    });
    let ended: HashMap<_, _> = ended.collect();
    assert_eq!(ended.len() as u64, total, "process ids were used twice");
    (collected, ended)
}

/// Fails unless every child has exactly one event, with its status and its peak, and the counters say
/// the same.
fn check(collected: &Collected, ended: &HashMap<u32, Ended>) {
    assert!(collected.lost.values().all(|&lost| lost == 0), "{:?}", collected.lost);
    let mut seen = HashMap::new();
    for event in collected.events_of("mt-exits") {
        let What::Exit { ending, peak_rss_bytes, .. } = event.what else { continue };
        let Some(child) = ended.get(&event.process.pid) else { continue };
        assert_eq!(ending, Ending::from_status(child.status), "{event:?}");
        assert_eq!(peak_rss_bytes, child.peak_rss_bytes, "{event:?}");
        assert!(seen.insert(event.process.pid, event).is_none(), "twice: {event:?}");
    }
    assert_eq!(seen.len(), ended.len(), "ends that were not told");

    let mut expected: HashMap<Vec<String>, u64> = HashMap::new();
    for child in ended.values() {
        let attributes = match Ending::from_status(child.status) {
            Ending::Code(0) => vec!["success".to_owned()],
            Ending::Code(_) => vec!["failure".to_owned()],
            Ending::Signal { number, .. } => {
                vec!["signal".to_owned(), monitor::event::signal_name(number)]
            }
        };
        *expected.entry(attributes).or_default() += 1;
    }
    // The parent, which has the same name, ended well.
    *expected.entry(vec!["success".to_owned()]).or_default() += 1;
    let counted: HashMap<_, _> = collected
        .counts
        .iter()
        .filter(|((metric, name, _), _)| *metric == PROCESS_EXITS.name && name == "mt-exits")
        .map(|((_, _, attributes), count)| (attributes.clone(), *count))
        .collect();
    println!("{counted:?}");
    assert_eq!(counted, expected);
    assert_eq!(collected.count(&PROCESS_FORKS, "mt-exits", &[]), ended.len() as u64);
    assert_eq!(collected.count(&PROCESS_EXECS, "mt-exits", &[]), 1);
}

#[test]
fn five_thousand_forks_are_as_many_ends_with_their_codes() {
    let _serial = serial();
    let (collected, ended) = children("exits", 5000);
    let codes: std::collections::HashSet<_> = ended.values().map(|child| child.status).collect();
    assert!(codes.len() > 200, "all children ended alike: {codes:?}");
    check(&collected, &ended);
    // Each was made before it ended, by its parent.
    let parent = collected.events_of("mt-exits").find_map(|event| match event.what {
        What::Fork { .. } => Some(event.process.pid),
        _ => None,
    });
    let parent = parent.expect("forks are told");
    let events: Vec<&Event> = collected.events_of("mt-exits").collect();
    let mut before_hook = Vec::new();
    for pid in ended.keys() {
        let made = events.iter().find(|event| event.what == What::Fork { child: *pid });
        let made = made.unwrap_or_else(|| panic!("nobody made {pid}"));
        let is_end = |event: &&&Event| event.process.pid == *pid;
        let end = events.iter().find(is_end).unwrap_or_else(|| panic!("{pid} did not end"));
        assert_eq!((made.process.pid, end.parent), (parent, Some(parent)));
        let What::Exit { lifetime, .. } = end.what else { panic!("{end:?}") };
        let lived = end.time.duration_since(made.time).expect("it was made before it ended");
        assert!(lifetime >= lived, "{lifetime:?} {lived:?}");
        before_hook.push(lifetime - lived);
    }
    // The kernel takes the time of the start a moment before the hook. The parent may lose its CPU
    // in between, but seldom does.
    before_hook.sort();
    let [half, most] = [2, 100].map(|part| before_hook[before_hook.len() - 1 - ended.len() / part]);
    println!("from start to hook: half within {half:?}, 99 % within {most:?}");
    assert!(half.as_micros() < 100 && most.as_millis() < 50);
}

#[test]
fn processes_of_several_threads_end_once() {
    let _serial = serial();
    let (collected, ended) = children("exits-threads", 600);
    check(&collected, &ended);
    // Each has three besides its first.
    assert_eq!(collected.count(&PROCESS_THREADS_CREATED, "mt-exits", &[]), 3 * 600);
}

#[test]
fn a_program_executed_by_another_thread_ends_as_one_process() {
    let _serial = serial();
    let collector = Collector::start(&kernel(), "process");
    let parent = Workload::start("mt-execs", ["execs", "20", "1"]);
    parent.done();
    parent.end();
    let collected = collector.stop();
    // Twenty children execute themselves, each after it was executed; and there is their parent.
    assert_eq!(collected.count(&PROCESS_EXECS, "mt-execs", &[]), 41);
    assert_eq!(collected.count(&PROCESS_EXITS, "mt-execs", &["success"]), 20);
    let argv = |event: &Event| match &event.what {
        What::Exec { argv: Some(argv) } => Some((argv.words[1..].join(" "), argv.is_cut)),
        _ => None,
    };
    let told: Vec<_> = collected.events_of("mt-execs").filter_map(argv).collect();
    let count = |words: &str| told.iter().filter(|(argv, _)| argv == words).count();
    assert_eq!([count("execs 20 1"), count("exec-once"), count("nothing")], [1, 20, 20]);
    assert!(told.iter().all(|(_, is_cut)| !is_cut));
}

#[test]
fn long_arguments_are_cut() {
    let _serial = serial();
    let collector = Collector::start(&kernel(), "process");
    let long = "x".repeat(300);
    let ended = Workload::start("mt-long", ["nothing", "y", &long]);
    ended.end();
    let collected = collector.stop();
    let argv = collected.events_of("mt-long").find_map(|event| match &event.what {
        What::Exec { argv } => Some(argv.clone().expect("its arguments were read")),
        _ => None,
    });
    let argv = argv.expect("it was executed");
    assert!(argv.is_cut);
    assert_eq!(argv.words[1..3], ["nothing", "y"]);
    let bytes: usize = argv.words.iter().map(|word| word.len() + 1).sum::<usize>() - 1;
    assert_eq!((bytes, argv.words.len()), (monitor_common::event::ARGV_LEN, 4));
    assert!(long.starts_with(&argv.words[3]));
}
