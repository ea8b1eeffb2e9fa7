//! Names that changed before 0.1.0, from which on they are stable.

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A metric.
    Metric,
    /// The value of an attribute.
    AttributeValue,
    /// A probe: its switch, its threshold of slow latencies and its attribute `monitor.probe`.
    Probe,
    /// The value of a configuration key.
    ConfigValue,
}

impl Named {
    /// The term of the documentation.
    fn term(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::AttributeValue => "attribute value",
            Self::Probe => "probe",
            Self::ConfigValue => "configuration value",
        }
    }
}

/// A name that changed.
#[derive(Debug)]
pub struct Rename {
    /// What has the name.
    pub named: Named,
    /// The attribute or configuration key that has the value; empty for a name that stands alone.
    pub of: &'static str,
    /// The former name.
    pub old: &'static str,
    /// The name.
    pub new: &'static str,
}

const fn rename(named: Named, of: &'static str, old: &'static str, new: &'static str) -> Rename {
    Rename { named, of, old, new }
}

/// All names that changed.
pub const RENAMES: &[Rename] = &[
    rename(Named::Metric, "", "monitor.dns.questions", "monitor.dns.queries"),
    rename(Named::Metric, "", "monitor.process.dns.questions", "monitor.process.dns.queries"),
    rename(Named::AttributeValue, "process.executable.name", "(retired)", "(evicted)"),
    rename(Named::AttributeValue, "systemd.unit", "(retired)", "(evicted)"),
    rename(Named::AttributeValue, "server.address", "(retired)", "(evicted)"),
    rename(Named::AttributeValue, "monitor.loss.reason", "untold", "suppressed"),
    rename(Named::Probe, "", "tcp", "net"),
    rename(Named::ConfigValue, "groups.by", "command-and-place", "command-and-container"),
    rename(Named::ConfigValue, "groups.by", "place", "container"),
];

/// The new name of a probe or configuration value.
pub(crate) fn of_config(old: &str) -> Option<&'static str> {
    let is_meant = |rename: &&Rename| {
        matches!(rename.named, Named::Probe | Named::ConfigValue) && rename.old == old
    };
    RENAMES.iter().find(is_meant).map(|rename| rename.new)
}

/// The table as tab-separated values.
pub(crate) fn tsv() -> String {
    let row = |it: &Rename| format!("{}\t{}\t{}\t{}\n", it.named.term(), it.of, it.old, it.new);
    RENAMES.iter().map(row).fold("what\tof\told\tnew\n".to_owned(), |text, row| text + &row)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{metric::catalogue, probe::PROBES, top_k::EVICTED};

    #[test]
    fn old_names_are_gone_and_new_ones_exist() {
        let metrics: BTreeSet<_> = catalogue().map(|metric| metric.name).collect();
        let attributes: BTreeSet<_> = catalogue().flat_map(|metric| metric.attributes).collect();
        let probes: BTreeSet<_> = PROBES.iter().map(|probe| probe.name).collect();
        for Rename { named, of, old, new } in RENAMES {
            match named {
                Named::Metric => assert!(!metrics.contains(old) && metrics.contains(new), "{new}"),
                Named::Probe => assert!(!probes.contains(old) && probes.contains(new), "{new}"),
                Named::AttributeValue => {
                    let is_of_groups = *of == "process.executable.name";
                    assert!(is_of_groups || attributes.contains(of), "{of}");
                    assert!([EVICTED, "suppressed"].contains(new), "{new}");
                }
                // Tested where the configuration is read.
                Named::ConfigValue => {}
            }
        }
    }
}
