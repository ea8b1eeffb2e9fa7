//! What was said of processes whose threads end all at once.

use anyhow::{Result, ensure};

use super::{Check, EXECUTABLE, check};
use crate::vm::{exposition::Exposition, transcript::Part};

/// Their name, and that of the part that says how they ended.
pub(super) const NAME: &str = "ends";

const CLASSES: [&str; 3] = ["success", "failure", "signal"];

/// How many ended in which way: of the children by what was said to who waited for them, and their
/// parent as it should.
fn own(part: &Part) -> Result<[f64; 3]> {
    let numbers = part.done()?;
    let mut ended = [1.0, 0.0, 0.0];
    for child in numbers.chunks(3) {
        ensure!(child.len() == 3, "not three numbers of each process");
        let status = child[1] as u64;
        let class = match (status & 0x7f, status >> 8) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        };
        ended[class] += 1.0;
    }
    Ok(ended)
}

/// Each ended once, and as it did.
pub(super) fn of_threads(after: &Exposition, part: &Part) -> Result<Check> {
    let theirs = own(part)?;
    let ours = CLASSES.map(|class| {
        let labels = [(EXECUTABLE, NAME), ("monitor_exit_class", class)];
        after.sum("monitor_process_exits_total", &labels)
    });
    let found = format!("{ours:?} by {CLASSES:?}, of {theirs:?}");
    Ok(check("ends of several threads", ours == theirs, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ends_once_as_it_did() {
        let text = "done 7 0 900 8 512 900 9 9 900\n".to_owned();
        let part = Part { text, code: 0 };
        let holds = |counts: [u32; 3]| {
            let lines = CLASSES.iter().zip(counts).map(|(class, count)| {
                let labels = format!("{EXECUTABLE}=\"{NAME}\",monitor_exit_class=\"{class}\"");
                format!("monitor_process_exits_total{{{labels}}} {count}\n")
            });
            let scrape = Exposition::parse(&lines.collect::<String>()).unwrap();
            of_threads(&scrape, &part).unwrap().result.is_ok()
        };
        assert!(holds([2, 1, 1]));
        assert!(!holds([2, 2, 1]), "one ended twice");
        assert!(!holds([3, 0, 1]), "one failed");
        let none = Part { text: "killed".to_owned(), code: 137 };
        assert!(of_threads(&Exposition::parse("").unwrap(), &none).is_err());
    }
}
