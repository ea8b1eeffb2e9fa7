//! What a machine said: its kernel's console, and parts between markers as init.sh writes them.

use std::collections::HashMap;

use anyhow::{Context, Result};

/// How a line begins that names a part, and one that ends it.
const BEGIN: &str = "@@@ ";
pub(crate) const END: &str = "@@@ end ";

pub(super) struct Transcript {
    pub(super) console: String,
    parts: HashMap<String, Part>,
}

/// Whether process 1 wrote any results.
pub(super) fn has_begun(results: &str) -> bool {
    results.contains(BEGIN)
}

/// What a command printed.
pub(crate) struct Part {
    pub(crate) text: String,
    /// Its exit code.
    pub(crate) code: i32,
}

impl Part {
    /// The numbers that a workload reports when it is done, in the first line.
    pub(crate) fn done(&self) -> Result<Vec<f64>> {
        let line = self.text.trim().lines().next().and_then(|line| line.strip_prefix("done "));
        let line =
            line.with_context(|| format!("the workload is not done: {}", self.text.trim()))?;
        let numbers = line.split_whitespace().map(str::parse).collect::<Result<_, _>>();
        numbers.with_context(|| format!("no numbers: {line}"))
    }
}

impl Transcript {
    pub(super) fn new(console: &str, results: &str) -> Result<Self> {
        let mut parts = HashMap::new();
        let mut open: Option<(&str, String)> = None;
        for line in results.lines() {
            if let Some(code) = line.strip_prefix(END) {
                let (name, text) = open.take().context("a part ends that did not begin")?;
                let code = code.trim().parse().context("a part's exit code is no number")?;
                parts.insert(name.to_owned(), Part { text, code });
            } else if let Some(name) = line.strip_prefix(BEGIN) {
                open = Some((name.trim(), String::new()));
            } else if let Some((_, text)) = &mut open {
                text.push_str(line);
                text.push('\n');
            }
        }
        Ok(Self { console: console.to_owned(), parts })
    }

    /// A part by its name. All are there unless the machine ended too early.
    pub(super) fn part(&self, name: &str) -> Result<&Part> {
        self.parts.get(name).with_context(|| format!("the machine ended before the part {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Transcript, has_begun};

    #[test]
    fn parts_are_told_apart() {
        let results = "@@@ one\na\nb\n\n@@@ end 0\nnoise\n@@@ two\n\n@@@ end 139\n@@@ three\ncut";
        let transcript = Transcript::new("", results).unwrap();
        let one = transcript.part("one").unwrap();
        assert_eq!((&*one.text, one.code), ("a\nb\n\n", 0));
        assert_eq!(transcript.part("two").unwrap().code, 139);
        assert!(transcript.part("three").is_err());
        assert!(has_begun(results));
        assert!(!has_begun(""));
    }
}
