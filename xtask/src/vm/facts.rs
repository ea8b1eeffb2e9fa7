//! What the kernel itself counted for the processes of the workload, at a moment they were stopped.

use anyhow::{Context, Result};

/// Units of time in a second, in `/proc/<pid>/stat`.
const TICKS: f64 = 100.0;

/// Sums over the processes of one name.
#[derive(Default)]
pub(super) struct Facts {
    /// How many there are.
    pub(super) processes: u32,
    /// Time on a CPU in seconds, from schedstat.
    pub(super) cpu: f64,
    /// Time runnable and not on a CPU in seconds, from schedstat.
    pub(super) wait: f64,
    /// Times it was given a CPU, from schedstat.
    pub(super) runs: f64,
    /// Those before it had its name for certain.
    pub(super) unnamed: f64,
    pub(super) voluntary: f64,
    pub(super) involuntary: f64,
    /// Time from the start until it was stopped, in seconds.
    pub(super) lifetime: f64,
    /// Time on a CPU with that of its children, in seconds.
    pub(super) cpu_of_all: f64,
}

impl Facts {
    /// Adds up what the machine wrote of the processes called `name`.
    pub(super) fn of(name: &str, text: &str) -> Result<Self> {
        let mut facts = Self::default();
        let mut stopped = 0.0;
        let mut is_meant = false;
        for line in text.lines() {
            let (key, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            match key {
                "stopped" => stopped = rest.trim().parse().context("no time of stopping")?,
                "process" => {
                    is_meant = rest.trim() == name;
                    facts.processes += u32::from(is_meant);
                }
                _ if is_meant => {
                    facts.add(key, rest, stopped).with_context(|| format!("{name}: {line:?}"))?;
                }
                _ => {}
            }
        }
        (facts.processes > 0).then_some(facts).with_context(|| format!("no process {name}"))
    }

    fn add(&mut self, key: &str, rest: &str, stopped: f64) -> Result<()> {
        match key {
            "schedstat" => {
                let fields = numbers(rest);
                let [cpu, wait, runs] = fields[..] else { anyhow::bail!("not three numbers") };
                self.cpu += cpu / 1e9;
                self.wait += wait / 1e9;
                self.runs += runs;
            }
            "unnamed" => self.unnamed += rest.trim().parse::<f64>()?,
            "stat" => {
                // Behind the name, which may have spaces in it, fields are counted from 3, the state.
                let (_, fields) = rest.rsplit_once(") ").context("no name")?;
                let fields = numbers(fields);
                let field = |n: usize| fields.get(n - 3).copied().context("too few fields");
                for n in 14..=17 {
                    self.cpu_of_all += field(n)? / TICKS;
                }
                self.lifetime += stopped - field(22)? / TICKS;
            }
            "voluntary_ctxt_switches:" => self.voluntary += rest.trim().parse::<f64>()?,
            "nonvoluntary_ctxt_switches:" => self.involuntary += rest.trim().parse::<f64>()?,
            _ => {}
        }
        Ok(())
    }
}

/// The fields of a line; what is no number becomes one that equals nothing.
fn numbers(text: &str) -> Vec<f64> {
    text.split_whitespace().map(|field| field.parse().unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::Facts;

    #[test]
    fn processes_of_one_name_are_added_up() {
        let one = "unnamed 2\nschedstat 2000000000 500000000 7\n\
                   stat 9 (a) b) T 1 0 0 0 -1 0 69 0 0 0 150 50 20 30 20 0 1 0 800 99\n\
                   voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n";
        let text = format!("stopped 10.5\nprocess a\n{one}process b\n{one}process a\n{one}");
        let facts = Facts::of("a", &text).unwrap();
        assert_eq!((facts.processes, facts.runs, facts.unnamed), (2, 14.0, 4.0));
        assert_eq!((facts.cpu, facts.wait), (4.0, 1.0));
        assert_eq!((facts.voluntary, facts.involuntary), (6.0, 8.0));
        assert_eq!((facts.lifetime, facts.cpu_of_all), (5.0, 5.0));
        assert!(Facts::of("c", &text).is_err());
    }
}
