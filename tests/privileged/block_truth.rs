//! What the `block` probe reports, against fio's own results and the kernel's counters of the device.

use std::process::Command;

use monitor_tests::{
    Hist,
    block::{
        BlockRecorder, DiskStats, Fio, Loop, Throttle, fio_result, number, recorded, run, spawn,
    },
    kernel, repeatable, serial,
};
use serde_json::Value as Json;

/// Operations far from each other, so that none are merged.
const APART: &str = "--blockalign=64k";

/// Reads and writes of different sizes at once, by two processes of the same name.
#[test]
fn two_processes_at_once() {
    let _serial = serial();
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
    for (pid, direction, expected) in [(read_by, "read", &read), (written_by, "write", &written)] {
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
        let throttle = Throttle::operations(&below, 300);
        let mut recorder = BlockRecorder::start(&kernel());
        for (direction, args) in [
            ("read", ["--rw=randread", "--iodepth=16", "--number_ios=1000"]),
            ("write", ["--rw=randwrite", "--iodepth=5", "--number_ios=1000"]),
        ] {
            let args = [&args[..], &["--ioengine=libaio", "--bs=4k", APART]].concat();
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
    let disk = Loop::in_memory(64);
    let mut recorder = BlockRecorder::start(&kernel());
    let before = disk.stats();
    let args = ["--rw=randwrite", "--ioengine=psync", "--bs=4k", "--number_ios=500", "--fsync=1"];
    let fio = Fio { path: &disk.path, args: &args, throttle: None }.start();
    let pid = fio.id();
    recorder.wait(fio);
    let stats = disk.stats().since(&before);
    let totals = recorder.tick();
    let (writes, flushes) =
        (totals.of_pid(&disk, "write", pid), totals.of_pid(&disk, "flush", pid));
    println!("{stats:?}, {flushes:?}");
    assert_eq!((writes.operations, writes.bytes), (500, 500 * 4096));
    assert_eq!((flushes.operations, flushes.bytes), (stats.flush, 0), "one for each of the device");
    assert!(flushes.operations >= 499, "fio leaves out the one after the last write at most");
    assert_eq!(flushes.device.count(), flushes.operations, "each has a latency");
    let stats = DiskStats { flush: 0, ..stats };
    assert_eq!(recorded(totals, &disk), stats, "the whole device against /proc/diskstats");
    totals.check_sums();
    totals.check_nothing_lost();
}

#[test]
fn discards() {
    let _serial = serial();
    let disk = Loop::in_memory(64);
    let mut recorder = BlockRecorder::start(&kernel());
    let before = disk.stats();
    let mut command = Command::new("blkdiscard");
    let child = spawn(command.args(["--offset", "1048576", "--length", "33554432", &disk.path]));
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
}

/// What is done to a partition is done to its disk.
#[test]
fn partitions() {
    let _serial = serial();
    let disk = Loop::in_memory(64);
    run("sh", &["-c", &format!("printf '2048,40960\\n43008,40960\\n' | sfdisk -q {}", disk.path)]);
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
    assert!(totals.host.keys().all(|(device, _)| !device.starts_with(&format!("{}p", disk.name))));
    totals.check_sums();
    totals.check_nothing_lost();
}
