//! Checks over the sources: the shape that ARCHITECTURE.md describes and no compiler enforces.
//!
//! Lines and paths are scanned, nothing is parsed; rules are as coarse as that allows. Every rule has
//! a bad example in its tests, so that one that can no longer fail is noticed.

mod collector;
mod layers;
mod links;
mod rust;
mod style;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use self::rust::Rust;
use crate::workspace;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 2] = [".git", "target"];

/// What the rules look at.
#[derive(Default)]
struct Tree {
    /// Every file, below the root.
    paths: Vec<PathBuf>,
    rust: Vec<Rust>,
    /// Path and text of Markdown files.
    markdown: Vec<(PathBuf, String)>,
    /// Path and text of what the Collector is made of.
    collector: Vec<(PathBuf, String)>,
}

/// A place that breaks a rule.
struct Finding {
    path: PathBuf,
    line: usize,
    /// What is wrong, why that matters, and the remedy.
    message: String,
}

/// A rule with its name.
type Rule = (&'static str, fn(&Tree) -> Vec<Finding>);

const RULES: [Rule; 11] = [
    ("layers", layers::forbidden_imports),
    ("stages", layers::only_daemon_knows_all),
    ("kernel pointers", layers::kernel_pointers),
    ("main", style::short_main),
    ("length", style::file_length),
    ("modules", style::module_files),
    ("unsafe", style::safety_comments),
    ("notes", style::notes_have_reasons),
    ("collector", collector::matches_manifest),
    ("links", links::files),
    ("anchors", links::anchors),
];

pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(workspace::root())?;
    let findings: Vec<Finding> = RULES.iter().flat_map(|(_, rule)| rule(&tree)).collect();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} places break the rules of CONTRIBUTING.md", findings.len());
    }
    println!("{} files keep {} rules", tree.paths.len(), RULES.len());
    Ok(())
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder)
                .with_context(|| format!("cannot list {}", folder.display()))?;
            for entry in entries {
                let entry = entry?;
                if !entry.file_type()?.is_dir() {
                    let path = entry.path();
                    let below_root = path.strip_prefix(root).expect("it was found there");
                    tree.add(below_root, || {
                        fs::read_to_string(&path)
                            .with_context(|| format!("cannot read {}", path.display()))
                    })?;
                } else if !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                    folders.push(entry.path());
                }
            }
        }
        Ok(tree)
    }

    /// Adds a file, whose text is only read when a rule looks at it.
    fn add(&mut self, path: &Path, text: impl FnOnce() -> Result<String>) -> Result<()> {
        self.paths.push(path.to_owned());
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => self.rust.push(Rust::new(path, &text()?)),
            Some("md") => self.markdown.push((path.to_owned(), text()?)),
            Some("go" | "mod" | "yaml") if path.starts_with("otel-collector") => {
                self.collector.push((path.to_owned(), text()?));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether there is such a file or folder.
    fn has(&self, path: &Path) -> bool {
        self.paths.iter().any(|file| file.starts_with(path))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}
