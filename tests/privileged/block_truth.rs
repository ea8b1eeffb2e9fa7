//! What the `block` probe reports, against fio's own results and the kernel's counters of the device.

use std::{process::Command, thread, time::Duration};

use monitor_tests::{
    Hist,
    block::{BlockRecorder, recorded, trace_requests},
    cgroup,
    command::{run, spawn},
    disk::{DiskStats, Fio, Loop, Mounted, Throttle, fio_result, number},
    kernel, repeatable, serial,
};
use serde_json::Value as Json;

/// Operations far from each other, so that none are merged.
const APART: &str = "--blockalign=64k";

/// Reads and writes of different sizes at once, by two processes of the same name.
#[test]
fn two_processes_at_once() {
    let _serial = serial();
    repeatable(|| {
        let disk = Loop::in_memory(256);
        let mut recorder = BlockRecorder::start(&kernel());
        let before = disk.stats();
        let engine = ["--ioengine=libaio", "--iodepth=16", APART];
        let job = |args: &[&'static str]| {
            Fio { path: &disk.path, args: &[&engine, args].concat(), throttle: None }.start()
        };
        let reader = job(&["--rw=randread", "--bs=4k", "--number_ios=30000", "--norandommap"]);
        let writer =
            job(&["--rw=randwrite", "--bssplit=4k/50:16k", "--number_ios=20000", "--norandommap"]);
        let (read_by, written_by) = (reader.id(), writer.id());
        let read = fio_result(&recorder.wait(reader), "read");
        let written = fio_result(&recorder.wait(writer), "write");
        let stats = disk.stats().since(&before);
        let totals = recorder.tick();
        for (pid, direction, expected) in
            [(read_by, "read", &read), (written_by, "write", &written)]
        {
            let counts = totals.of_pid(&disk, direction, pid);
            let wanted = (number(expected, "total_ios"), number(expected, "io_bytes"));
            assert_eq!((counts.operations, counts.bytes), wanted, "{direction}s against fio");
            assert_eq!((counts.queue.count(), counts.device.count()), (wanted.0, wanted.0));
            assert_eq!(counts.errors, 0);
        }
        assert_eq!(totals.of_pid(&disk, "write", read_by).operations, 0);
        assert_eq!(totals.of_pid(&disk, "read", written_by).operations, 0);
        assert_eq!(recorded(totals, &disk), stats, "the whole device against /proc/diskstats");
        totals.check_sums();
        totals.check_nothing_lost();
    });
}

/// The bucket of fio's percentile, and that of ours.
fn check_percentiles(name: &str, latencies: &Hist, clat: &Json) {
    for percent in ["50.000000", "90.000000", "99.000000"] {
        let expected = number(&clat["percentile"], percent);
        let q = percent.parse::<f64>().expect("it is a number") / 100.0;
        let slot = latencies.quantile_slot(q).expect("there are some");
        let wanted = Hist::of(&[expected]).quantile_slot(1.0).expect("there is one");
        println!("{name} p{percent}: {expected} ns by fio, bucket {slot} for {wanted}");
        assert!(slot.abs_diff(wanted) <= 1, "{name}: p{percent} in {slot}, by fio in {wanted}");
    }
}

/// Latencies of a device that takes its time: a loop device over another that is throttled, where
/// what it takes fio to see that an operation has ended does not count.
#[test]
fn latencies() {
    let _serial = serial();
    repeatable(|| {
        let below = Loop::in_memory(64);
        let disk = Loop::over_device(&below);
        // So few that nobody goes on at once, in however long a time the kernel counts them.
        let throttle = Throttle::operations(&below, 120, 40);
        let mut recorder = BlockRecorder::start(&kernel());
        for (direction, args) in [
            ("read", ["--rw=randread", "--number_ios=30"]),
            ("write", ["--rw=randwrite", "--number_ios=12"]),
        ] {
            // By threads that wait for each operation: else fio looks late at the last ones.
            let args = [&args[..], &["--ioengine=psync", "--numjobs=16", "--bs=4k"]].concat();
            let args = [&args[..], &["--group_reporting", APART]].concat();
            let fio = Fio { path: &disk.path, args: &args, throttle: Some(&throttle) }.start();
            let pid = fio.id();
            let clat = &fio_result(&recorder.wait(fio), direction)["clat_ns"];
            let counts = recorder.tick().of_pid(&disk, direction, pid);
            let mean = (counts.queue.sum + counts.device.sum) as f64 / counts.operations as f64;
            let expected = clat["mean"].as_f64().expect("it is a number");
            println!("{direction}: mean {mean} ns, by fio {expected} ns");
            assert!((mean / expected - 1.0).abs() < 0.02, "{direction}: {mean} for {expected}");
            // Almost all is the device's, so that its buckets are those of the whole.
            assert!(counts.queue.sum * 100 < counts.device.sum, "{direction}: {counts:?}");
            check_percentiles(direction, &counts.device, clat);
        }
        recorder.tick().check_nothing_lost();
    });
}

/// Every write is followed by a flush that the writer waits for.
#[test]
fn flushes() {
    let _serial = serial();
    repeatable(|| {
        let disk = Loop::in_memory(64);
        let mut recorder = BlockRecorder::start(&kernel());
        let before = disk.stats();
        let args =
            ["--rw=randwrite", "--ioengine=psync", "--bs=4k", "--number_ios=500", "--fsync=1"];
        let fio = Fio { path: &disk.path, args: &args, throttle: None }.start();
        let pid = fio.id();
        recorder.wait(fio);
        let stats = disk.stats().since(&before);
        let totals = recorder.tick();
        let (writes, flushes) =
            (totals.of_pid(&disk, "write", pid), totals.of_pid(&disk, "flush", pid));
        println!("{stats:?}, {flushes:?}");
        assert_eq!((writes.operations, writes.bytes), (500, 500 * 4096));
        assert_eq!(
            (flushes.operations, flushes.bytes),
            (stats.flush, 0),
            "one for each of the device"
        );
        assert!(flushes.operations >= 499, "fio leaves out the one after the last write at most");
        assert_eq!(flushes.device.count(), flushes.operations, "each has a latency");
        let stats = DiskStats { flush: 0, ..stats };
        assert_eq!(recorded(totals, &disk), stats, "the whole device against /proc/diskstats");
        totals.check_sums();
        totals.check_nothing_lost();
    });
}

#[test]
fn discards() {
    let _serial = serial();
    repeatable(|| {
        let disk = Loop::in_memory(64);
        let mut recorder = BlockRecorder::start(&kernel());
        let before = disk.stats();
        let mut command = Command::new("blkdiscard");
        let child =
            spawn(command.args(["--offset", "1048576", "--length", "33554432", &disk.path]));
        let pid = child.id();
        recorder.wait(child);
        let stats = disk.stats().since(&before);
        let totals = recorder.tick();
        let counts = totals.of_pid(&disk, "discard", pid);
        assert_eq!((counts.operations, counts.bytes), (stats.discard.0, 33_554_432));
        assert!(counts.operations > 0);
        assert_eq!(recorded(totals, &disk), DiskStats { flush: 0, ..stats });
        totals.check_sums();
        totals.check_nothing_lost();
    });
}

/// What is done to a partition is done to its disk.
#[test]
fn partitions() {
    let _serial = serial();
    repeatable(|| {
        let disk = Loop::in_memory(64);
        run(
            "sh",
            &["-c", &format!("printf '2048,40960\\n43008,40960\\n' | sfdisk -q {}", disk.path)],
        );
        disk.scan_partitions();
        let mut recorder = BlockRecorder::start(&kernel());
        let before = disk.stats();
        let args = ["--rw=randread", "--ioengine=psync", "--bs=4k", "--number_ios=700", APART];
        let fio = Fio { path: &format!("{}p2", disk.path), args: &args, throttle: None }.start();
        let pid = fio.id();
        recorder.wait(fio);
        let stats = disk.stats().since(&before);
        let totals = recorder.tick();
        let counts = totals.of_pid(&disk, "read", pid);
        assert_eq!((counts.operations, counts.bytes), (700, 700 * 4096));
        assert_eq!(recorded(totals, &disk), stats);
        assert!(
            totals.host.keys().all(|(device, _)| !device.starts_with(&format!("{}p", disk.name)))
        );
        totals.check_sums();
        totals.check_nothing_lost();
    });
}

/// Requests of which more are made than the device takes at once, so that they wait in the queue.
#[test]
fn time_in_the_queue() {
    let _serial = serial();
    repeatable(|| {
        let below = Loop::in_memory(64);
        let disk = Loop::over_device(&below);
        disk.set_scheduler("mq-deadline");
        let throttle = Throttle::operations(&below, 400, 400);
        let mut recorder = BlockRecorder::start(&kernel());
        let tracer = trace_requests(&disk);
        // None where another is: bpftrace tells requests apart by where they are.
        let args = ["--rw=read:60k", "--bs=4k", "--number_ios=1000", "--ioengine=libaio"];
        let args = [&args[..], &["--iodepth=224"]].concat();
        let fio = Fio { path: &disk.path, args: &args, throttle: Some(&throttle) }.start();
        let pid = fio.id();
        recorder.wait(fio);
        let traced = tracer.stop();
        let totals = recorder.tick();
        println!("lost: {:?}", totals.lost);
        let counts = totals.of_pid(&disk, "read", pid);
        assert_eq!(counts.operations, 1000);
        traced.check(pid, &counts, "reads");
        assert!(counts.queue.sum * 5 > counts.device.sum, "they did not wait: {counts:?}");
    });
}

/// Requests that are submitted together, for which the kernel reads its clock once: each has its own
/// times all the same, by every scheduler, with limits on writeback and without, and where the kernel
/// keeps no counters of the device.
#[test]
fn times_of_batches() {
    let _serial = serial();
    let schedulers = Loop::in_memory(1).schedulers();
    for scheduler in &schedulers {
        for (property, value) in [("wbt_lat_usec", "2000"), ("wbt_lat_usec", "0"), ("iostats", "0")]
        {
            repeatable(|| times_of_batches_with(scheduler, (property, value)));
        }
    }
}

fn times_of_batches_with(scheduler: &str, (property, value): (&str, &str)) {
    let disk = Loop::in_memory(256);
    disk.set_scheduler(scheduler);
    disk.set(property, value);
    let mut recorder = BlockRecorder::start(&kernel());
    let tracer = trace_requests(&disk);
    let mut runs = Vec::new();
    for engine in ["io_uring", "libaio"] {
        for batch in [1, 16, 128] {
            let options = [
                format!("--ioengine={engine}"),
                format!("--iodepth={batch}"),
                format!("--iodepth_batch_submit={batch}"),
                format!("--iodepth_batch_complete_min={batch}"),
            ];
            let args: Vec<_> = options.iter().map(String::as_str).collect();
            let args = [&args[..], &["--rw=read:60k", "--bs=4k", "--number_ios=1024"]].concat();
            let fio = Fio { path: &disk.path, args: &args, throttle: None }.start();
            let pid = fio.id();
            recorder.wait(fio);
            runs.push((pid, format!("{scheduler}, {property} {value}, {engine}, {batch} at once")));
        }
    }
    let traced = tracer.stop();
    let totals = recorder.tick();
    for (pid, what) in &runs {
        let counts = totals.of_pid(&disk, "read", *pid);
        assert_eq!(counts.operations, 1024, "{what}; lost: {:?}", totals.lost);
        traced.check(*pid, &counts, what);
    }
    totals.check_nothing_lost();
}

/// What is only written to memory, the kernel writes to the device in batches.
#[test]
fn times_of_writeback() {
    let _serial = serial();
    repeatable(|| {
        let disk = Loop::in_memory(64);
        let mut recorder = BlockRecorder::start(&kernel());
        let tracer = trace_requests(&disk);
        // Pages apart from each other, so that each is a request.
        let args = ["--rw=write:60k", "--ioengine=psync", "--bs=4k", "--number_ios=800"];
        let args = [&args[..], &["--end_fsync=1", "--direct=0"]].concat();
        let fio = Fio { path: &disk.path, args: &args, throttle: None }.start();
        let pid = fio.id();
        recorder.wait(fio);
        let traced = tracer.stop();
        let counts = recorder.tick().of_pid(&disk, "write", pid);
        assert_eq!(counts.operations, 800);
        traced.check(pid, &counts, "writeback");
    });
}

/// Requests that are under way when the probe is attached are counted, and said to be nobody's.
#[test]
fn requests_under_way_when_it_starts() {
    let _serial = serial();
    let below = Loop::in_memory(64);
    let disk = Loop::over_device(&below);
    let throttle = Throttle::operations(&below, 60, 60);
    let before = disk.stats();
    let args = ["--rw=randread", "--ioengine=libaio", "--iodepth=8", "--number_ios=200", "--bs=4k"];
    let args = [&args[..], &[APART]].concat();
    let fio = Fio { path: &disk.path, args: &args, throttle: Some(&throttle) }.start();
    while disk.stats().since(&before).read.0 < 20 {
        thread::sleep(Duration::from_millis(10));
    }
    let pid = fio.id();
    let earlier = disk.stats().since(&before).read.0;
    let mut recorder = BlockRecorder::start(&kernel());
    let attached = disk.stats().since(&before).read.0;
    recorder.wait(fio);
    let totals = recorder.tick();
    let (mine, rest) = (totals.of_pid(&disk, "read", pid), totals.of_rest(&disk, "read"));
    println!("{earlier} before, {} at first, {} then", rest.operations, mine.operations);
    let ended = mine.operations + rest.operations;
    assert!((200 - attached..=200 - earlier).contains(&ended), "{ended} after {earlier} of 200");
    assert!((1..=8).contains(&rest.operations), "{rest:?}");
    assert_eq!(
        rest.device.count(),
        0,
        "the kernel's times may be readings of its clock from before"
    );
    assert!(totals.lost["unmatched"] >= rest.operations);
    totals.check_sums();
}

/// What is only written to memory is written to the device by the kernel, for the cgroup that wrote it
/// where the kernel can tell.
#[test]
fn writeback() {
    const BYTES: u64 = 16 << 20;
    let _serial = serial();
    repeatable(|| {
        let disk = Loop::in_memory(64);
        run("mkfs.ext4", &["-q", "-O", "^has_journal", &disk.path]);
        let mounted = Mounted::new(&disk);
        let throttle = Throttle::operations(&disk, 1_000_000, 1_000_000);
        let mut recorder = BlockRecorder::start(&kernel());
        let before = disk.stats();
        let file = mounted.path().join("file");
        let script = format!(
            "echo $$ >{}; exec dd if=/dev/zero of={} bs=1M count={}",
            throttle.procs(),
            file.display(),
            BYTES >> 20
        );
        recorder.wait(spawn(Command::new("sh").args(["-c", &script])));
        run("sync", &["--file-system", file.to_str().expect("plain letters")]);
        let stats = disk.stats().since(&before);
        let totals = recorder.tick();
        let by_kernel = totals.of(&disk, "write", |process| process.kernel_thread);
        println!("{stats:?}, {} bytes by the kernel", by_kernel.bytes);
        assert!(by_kernel.bytes >= BYTES, "{by_kernel:?}");
        assert_eq!(recorded(totals, &disk), DiskStats { flush: 0, ..stats });
        if cgroup::controller("blkio").is_none() {
            let by_cgroup = totals.of(&disk, "write", |process| process.cgroup_id == throttle.id());
            assert!(by_cgroup.bytes >= BYTES, "they belong to who wrote them: {by_cgroup:?}");
        }
        totals.check_sums();
        totals.check_nothing_lost();
    });
}

/// Neighbouring operations that the kernel makes one request of are one operation, as it counts them,
/// with all their bytes.
#[test]
fn merged_requests() {
    let _serial = serial();
    repeatable(|| {
        let below = Loop::in_memory(64);
        let disk = Loop::over_device(&below);
        disk.set_scheduler("mq-deadline");
        let throttle = Throttle::operations(&below, 100, 100);
        let mut recorder = BlockRecorder::start(&kernel());
        let before = disk.stats();
        let args = ["--rw=write", "--ioengine=libaio", "--iodepth=256", "--bs=4k", "--size=8m"];
        let args = [&args[..], &["--iodepth_batch_submit=64"]].concat();
        let fio = Fio { path: &disk.path, args: &args, throttle: Some(&throttle) }.start();
        let pid = fio.id();
        let written = fio_result(&recorder.wait(fio), "write");
        let stats = disk.stats().since(&before);
        let totals = recorder.tick();
        let counts = totals.of_pid(&disk, "write", pid);
        println!(
            "{} operations of fio in {} requests",
            number(&written, "total_ios"),
            counts.operations
        );
        assert!(counts.operations * 2 < number(&written, "total_ios"), "none were merged");
        assert_eq!(counts.bytes, number(&written, "io_bytes"));
        assert_eq!(recorded(totals, &disk), stats);
        totals.check_sums();
        totals.check_nothing_lost();
    });
}
