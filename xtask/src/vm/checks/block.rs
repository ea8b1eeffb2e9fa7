//! What was said of the disks.

use anyhow::{Context, Result, ensure};

use super::{Check, EXECUTABLE, check};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The disks by their serial numbers, which are the names of their parts, the scheduler that each is to
/// have, and how many paths there are to it.
pub(super) const DISKS: [(&str, &str, usize); 6] = [
    ("disk0", "none", 1),
    ("disk1", "mq-deadline", 1),
    ("disk2", "none", 1),
    ("disk3", "mq-deadline", 1),
    ("disk4", "bfq", 1),
    ("disk5", "none", 2),
];
/// Programs, with the bytes that each reads from and writes to every disk.
const PROGRAMS: [(&str, [f64; 2]); 2] =
    [("dd", [200.0 * 4096.0; 2]), ("syncer", [0.0, 40.0 * 4096.0])];
/// Bytes of a sector.
const SECTOR: f64 = 512.0;

/// Operations read and written, and bytes.
pub(crate) type Numbers = [f64; 4];

/// What the kernel counted of the paths to a disk at two moments, in between.
pub(crate) fn kernel(paths: usize, text: &str) -> Result<Numbers> {
    let numbers = |line: &str| {
        let numbers = line.split_whitespace().skip(3).map(str::parse);
        numbers.collect::<Result<Vec<f64>, _>>().ok().filter(|numbers| numbers.len() > 6)
    };
    let lines: Vec<_> = text.lines().filter_map(numbers).collect();
    ensure!(lines.len() == 2 * paths, "{} counts of {paths} paths", lines.len());
    let (before, after) = lines.split_at(paths);
    let sum = |lines: &[Vec<f64>], n: usize| lines.iter().map(|line| line[n]).sum::<f64>();
    let more = |n: usize| sum(after, n) - sum(before, n);
    Ok([more(0), more(4), more(2) * SECTOR, more(6) * SECTOR])
}

/// What the daemon counted of a disk for the host or, with `whose`, for processes.
pub(crate) fn numbers(
    scrape: &Exposition,
    whose: &str,
    disk: &str,
    labels: &[(&str, &str)],
) -> Numbers {
    let sum = |what: &str, direction| {
        let labels =
            [labels, &[("system_device", disk), ("disk_io_direction", direction)]].concat();
        scrape.sum(&format!("monitor_{whose}block_{what}_total"), &labels)
    };
    // The kernel counts what only flushes among what is written.
    let written = ["write", "flush"].map(|direction| sum("operations", direction));
    [
        sum("operations", "read"),
        written.iter().sum(),
        sum("io_bytes", "read"),
        sum("io_bytes", "write"),
    ]
}

/// A disk did as much as the kernel says, all of it belongs to somebody, and what each program read and
/// wrote is that program's. It has the scheduler that it is to have, and a write cache.
pub(super) fn disk(
    (serial, scheduler, paths): (&str, &str, usize),
    before: &Exposition,
    after: &Exposition,
    part: &Part,
) -> Result<Check> {
    let mut lines = part.text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (disk, chosen, cache, fua) = (line(), line(), line(), line());
    let theirs =
        kernel(paths, &part.text).with_context(|| format!("{serial}: {}", part.text.trim()))?;
    let of = |whose: &str| {
        let [before, after] = [before, after].map(|scrape| numbers(scrape, whose, disk, &[]));
        std::array::from_fn(|n| after[n] - before[n])
    };
    let ours: Numbers = of("");
    let wrong = PROGRAMS.iter().find_map(|(program, bytes)| {
        let [.., read, written] = numbers(after, "process_", disk, &[(EXECUTABLE, program)]);
        let found = format!("; {read} and {written} bytes by {program} that moved {bytes:?}");
        ([read, written] != *bytes).then_some(found)
    });
    let is_set = chosen.contains(&format!("[{scheduler}]")) || chosen == scheduler;
    let holds = is_set
        && cache == "write back"
        && ours == theirs
        && of("process_") == ours
        && wrong.is_none();
    let found = format!(
        "{disk}: {ours:?} operations and bytes of the kernel's {theirs:?}; {chosen}, {cache}, FUA {fua}{}",
        wrong.unwrap_or_default()
    );
    Ok(check(format!("{serial}, {scheduler}, {paths} paths"), holds, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: &str = "vda";
    const DD: Numbers = [200.0, 200.0, 819_200.0, 819_200.0];
    const SYNCER: Numbers = [0.0, 60.0, 0.0, 163_840.0];

    /// A scrape of what happened to the disk, and how much of it was whose.
    fn scrape(host: Numbers, processes: &[(&str, Numbers)]) -> Exposition {
        let row = |whose, label: &str, [reads, writes, read, written]: Numbers| {
            let directions = [("read", reads, read), ("write", writes, written)];
            directions.map(|(way, operations, bytes)| {
                let labels =
                    format!("{{system_device=\"{DISK}\",disk_io_direction=\"{way}\"{label}}}");
                format!(
                    "monitor_{whose}block_operations_total{labels} {operations}\n\
                     monitor_{whose}block_io_bytes_total{labels} {bytes}\n"
                )
            })
        };
        let mut text = row("", "", host).concat();
        for (program, numbers) in processes {
            let label = format!(",process_executable_name=\"{program}\"");
            text.push_str(&row("process_", &label, *numbers).concat());
        }
        Exposition::parse(&text).unwrap()
    }

    #[test]
    fn a_disk_is_the_kernels_and_the_programs() {
        let all: Numbers = std::array::from_fn(|n| DD[n] + SYNCER[n]);
        let part = |scheduler: &str| Part {
            text: format!(
                "{DISK}\n{scheduler}\nwrite back\n0\n253 0 {DISK} 10 0 80 1 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                 253 0 {DISK} {} 0 {} 1 {} 0 {} 0 0 1 1 0 0 0 0 0 0\n",
                10.0 + all[0],
                80.0 + all[2] / SECTOR,
                all[1],
                all[3] / SECTOR
            ),
            code: 0,
        };
        let before = scrape([0.0; 4], &[]);
        let judge = |host, dd, scheduler| {
            let after = scrape(host, &[("dd", dd), ("syncer", SYNCER)]);
            disk(("disk2", "none", 1), &before, &after, &part(scheduler)).unwrap().result.is_ok()
        };
        let ([reads, writes, read, written], half) = (all, [200.0, 200.0, 819_200.0, 409_600.0]);
        assert!(judge(all, DD, "[none] mq-deadline"));
        assert!(!judge(all, DD, "none [mq-deadline]"), "another scheduler");
        assert!(!judge([reads, writes + 1.0, read, written], DD, "[none]"), "one too many");
        assert!(!judge(all, [199.0, 200.0, 819_200.0, 819_200.0], "[none]"), "one is nobody's");
        assert!(!judge(all, half, "[none]"), "half is another's");
        let nothing = Part { text: String::new(), code: 0 };
        assert!(disk(("disk2", "none", 1), &before, &before, &nothing).is_err());
    }

    #[test]
    fn paths_are_added_up() {
        let row = |path, reads| format!("0 0 nvme2c{path}n1 {reads} 0 {} 0 5 0 40 0\n", 8 * reads);
        let text = [row(0, 1), row(1, 2), row(0, 4), row(1, 7)].concat();
        assert_eq!(kernel(2, &text).unwrap(), [8.0, 0.0, 32_768.0, 0.0]);
        assert!(kernel(1, &text).is_err());
    }
}
