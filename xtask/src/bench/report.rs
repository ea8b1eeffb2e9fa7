//! Figures and limits, for the terminal and for the documentation.

use std::{
    fmt::{self, Display, Formatter},
    fs,
};

use anyhow::{Context, Result};

use super::machine::Machine;
use crate::workspace;

/// The written form.
const DOCUMENT: &str = "docs/benchmarks.md";

/// What a figure is in.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// How many times the other.
    Ratio,
    Milliseconds,
    Kibibytes,
    Mebibytes,
    /// Of one CPU.
    Percent,
}

/// What came of a measurement.
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: Unit,
    limit: Option<f64>,
    /// What was run for it.
    command: String,
}

impl Figure {
    pub(super) fn new(
        what: impl Into<String>,
        value: f64,
        unit: Unit,
        command: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), value, unit, limit: None, command: command.into() }
    }

    /// Sets a limit.
    pub(super) fn at_most(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Whether it is within its limit. What could not be measured is not.
    fn passes(&self) -> bool {
        self.limit.is_none_or(|limit| self.value <= limit)
    }

    /// Value, limit and verdict.
    fn columns(&self) -> [String; 3] {
        let verdict = match self.limit {
            None => "",
            Some(_) if self.passes() => "pass",
            Some(_) => "fail",
        };
        let limit = self.limit.map(|limit| self.unit.show(limit)).unwrap_or_default();
        [self.unit.show(self.value), limit, verdict.to_owned()]
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.3}"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Kibibytes => format!("{value:.0} KiB"),
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Percent => format!("{value:.2} %"),
        }
    }
}

/// All figures of a run.
#[derive(Default)]
pub(super) struct Report {
    figures: Vec<Figure>,
}

impl Report {
    pub(super) fn add(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    /// How many limits are missed.
    pub(super) fn missed(&self) -> usize {
        self.figures.iter().filter(|figure| !figure.passes()).count()
    }

    /// Writes the document.
    pub(super) fn write(&self, rounds: usize) -> Result<()> {
        let path = workspace::root().join(DOCUMENT);
        let text = self.document(&Machine::inspect()?, rounds);
        fs::create_dir_all(path.parent().expect("a file in a folder"))
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {DOCUMENT}"))?;
        println!("wrote {DOCUMENT}");
        Ok(())
    }

    fn document(&self, machine: &Machine, rounds: usize) -> String {
        let Machine { cpu, cpus, kernel, date } = machine;
        let mut text = format!(
            "# Benchmarks\n\n\
             Written by `cargo xtask bench`. What is compared takes turns within one run; each figure is \
             the median of {rounds} rounds or more. Ratios carry over to other machines, times and \
             percentages of a CPU do not.\n\n\
             Measured on {date}: {cpu}, {cpus} CPUs, Linux {kernel}.\n\n\
             | Figure | Result | Limit | Verdict | Measured by |\n\
             | --- | ---: | ---: | --- | --- |\n"
        );
        for figure in &self.figures {
            let [value, limit, verdict] = figure.columns();
            let Figure { what, command, .. } = figure;
            text += &format!("| {what} | {value} | {limit} | {verdict} | {command} |\n");
        }
        text
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = self.figures.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
        for figure in &self.figures {
            let [value, limit, verdict] = figure.columns();
            let limit = if limit.is_empty() { limit } else { format!("limit {limit}") };
            let line = format!("{:width$}  {value:>10}  {limit:<15}  {verdict}", figure.what);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64) -> Figure {
        Figure::new("CPU", value, Unit::Ratio, "perf bench")
    }

    #[test]
    fn limits_count_and_figures_without_do_not() {
        let mut report = Report::default();
        report.add(vec![figure(1.1).at_most(1.1), figure(9.0)]);
        assert_eq!(report.missed(), 0);
        report.add(vec![figure(1.101).at_most(1.1), figure(f64::NAN).at_most(1.1)]);
        assert_eq!(report.missed(), 2);
    }

    #[test]
    fn the_document_names_machine_command_and_verdict() {
        let machine = Machine {
            cpu: "Some CPU".to_owned(),
            cpus: 2,
            kernel: "6.1.0".to_owned(),
            date: "2026-01-02".to_owned(),
        };
        let mut report = Report::default();
        report.add(vec![figure(1.25).at_most(1.1), figure(2.0)]);
        let text = report.document(&machine, 5);
        assert!(text.contains("2026-01-02: Some CPU, 2 CPUs, Linux 6.1.0."), "{text}");
        assert!(text.contains("| CPU | 1.250 | 1.100 | fail | perf bench |\n"), "{text}");
        assert!(text.ends_with("| CPU | 2.000 |  |  | perf bench |\n"), "{text}");
    }
}
