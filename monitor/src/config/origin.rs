//! Where each value of the configuration comes from.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
    path::PathBuf,
};

/// Where a value that is not the default was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// By an environment variable.
    Variable(String),
    /// By a command-line flag, such as `--listen`.
    Flag(String),
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The origins of all values that are not the default, by key, such as `otlp.endpoint`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Sets the origin of a value, in place of an earlier one.
    pub fn set(&mut self, key: impl Into<String>, origin: Origin) {
        self.0.insert(key.into(), origin);
    }

    /// Sets the origins that `other` has.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The origin of a value; `None` for the default.
    pub fn get(&self, key: &str) -> Option<&Origin> {
        self.0.get(key)
    }

    /// The values whose origin differs from that in `other`.
    pub fn beside(&self, other: &Self) -> impl Iterator<Item = (&str, &Origin)> {
        self.0
            .iter()
            .filter(|(key, origin)| other.get(key) != Some(origin))
            .map(|(key, origin)| (key.as_str(), origin))
    }

    /// A configuration as it is printed, with the origin of each value behind it, as a comment.
    pub fn annotate(&self, toml: &str) -> String {
        const COLUMN: usize = 40;
        let (mut table, mut annotated) = (String::new(), String::new());
        for line in toml.lines() {
            annotated.push_str(line);
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                table = format!("{name}.");
            } else if let Some((key, _)) = line.split_once(" = ") {
                let key = format!("{table}{}", key.trim_matches(['"', '\'']));
                let origin = self.get(&key).map_or_else(|| "default".to_owned(), Origin::to_string);
                let gap = COLUMN.saturating_sub(line.chars().count());
                annotated.push_str(&format!("{:gap$}  # {origin}", ""));
            }
            annotated.push('\n');
        }
        annotated
    }
}
