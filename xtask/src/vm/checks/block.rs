//! What was said of the disk.

use anyhow::{Context, Result};

use super::{Check, EXECUTABLE, check};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The disk.
const DISK: &str = "nvme0n1";
/// The program that reads from it and writes to it, and how many bytes either way.
const COPIER: &str = "dd";
const BYTES: f64 = 200.0 * 4096.0;
/// Bytes of a sector.
const SECTOR: f64 = 512.0;

/// Operations read and written, and bytes.
type Numbers = [f64; 4];

/// What the kernel counted of the disk at two moments, in between.
fn kernel(part: &Part) -> Result<Numbers> {
    let numbers = |line: &str| {
        let numbers = line.split_whitespace().skip(3).map(str::parse);
        numbers.collect::<Result<Vec<f64>, _>>().ok().filter(|numbers| numbers.len() > 6)
    };
    let mut lines = part.text.lines().filter(|line| line.contains(DISK)).filter_map(numbers);
    let (before, after) =
        lines.next().zip(lines.next()).context("the disk is not counted twice")?;
    let more = |n: usize| after[n] - before[n];
    Ok([more(0), more(4), more(2) * SECTOR, more(6) * SECTOR])
}

fn numbers(scrape: &Exposition, whose: &str, labels: &[(&str, &str)]) -> Numbers {
    let sum = |what: &str, direction| {
        let labels =
            [labels, &[("system_device", DISK), ("disk_io_direction", direction)]].concat();
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

/// The disk did as much as the kernel says, all of it belongs to somebody, and what a program read and
/// wrote is that program's.
pub(super) fn disk(before: &Exposition, after: &Exposition, part: &Part) -> Result<Check> {
    let theirs = kernel(part)?;
    let of = |whose: &str| {
        let (before, after) = (numbers(before, whose, &[]), numbers(after, whose, &[]));
        std::array::from_fn(|n| after[n] - before[n])
    };
    let ours: Numbers = of("");
    let [.., read, written] = numbers(after, "process_", &[(EXECUTABLE, COPIER)]);
    let holds = ours == theirs && of("process_") == ours && [read, written] == [BYTES; 2];
    let found = format!(
        "{ours:?} operations and bytes of the kernel's {theirs:?}; {read} and {written} bytes by \
         {COPIER}"
    );
    Ok(check("disk", holds, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(host: [f64; 2], process: [f64; 2]) -> Exposition {
        let lines = [("", "", host), ("process_", ",process_executable_name=\"dd\"", process)];
        let lines = lines.map(|(whose, label, [operations, bytes])| {
            ["read", "write"].map(|way| {
                let labels =
                    format!("{{system_device=\"{DISK}\",disk_io_direction=\"{way}\"{label}}}");
                format!(
                    "monitor_{whose}block_operations_total{labels} {operations}\n\
                     monitor_{whose}block_io_bytes_total{labels} {bytes}\n"
                )
            })
        });
        Exposition::parse(&lines.concat().concat()).unwrap()
    }

    #[test]
    fn a_disk_is_the_kernels_and_a_programs() {
        let sectors = BYTES / SECTOR;
        let text = format!(
            "259 0 {DISK} 10 0 80 1 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
             259 0 {DISK} 210 0 {} 1 200 0 {sectors} 0 0 1 1 0 0 0 0 0 0\n",
            80.0 + sectors
        );
        let part = |text: &str| Part { text: text.to_owned(), code: 0 };
        let before = scrape([0.0; 2], [0.0; 2]);
        let holds = |host, process| {
            disk(&before, &scrape(host, process), &part(&text)).unwrap().result.is_ok()
        };
        assert!(holds([200.0, BYTES], [200.0, BYTES]));
        assert!(!holds([201.0, BYTES], [201.0, BYTES]), "one too many");
        assert!(!holds([200.0, BYTES], [199.0, BYTES]), "one is nobody's");
        assert!(!holds([200.0, BYTES], [200.0, BYTES / 2.0]), "half is another's");
        assert!(disk(&before, &before, &part("")).is_err());
    }
}
