//! A Rust file as the rules see it.

use std::path::{Path, PathBuf};

use super::Finding;

/// A Rust file, its comments told apart from its code.
pub(super) struct Rust {
    pub(super) path: PathBuf,
    /// The lines without comments, literals emptied.
    pub(super) code: Vec<String>,
    /// What comments say in each line.
    pub(super) comments: Vec<String>,
    /// Every path and name in the code with its line, groups of imports written out.
    pub(super) names: Vec<(usize, String)>,
}

impl Rust {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let (code, comments) = split(&format!("{text}{end}"));
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        let mut rust = Self {
            path: path.to_owned(),
            names: Vec::new(),
            code: lines(&code),
            comments: lines(&comments),
        };
        rust.names =
            names(&code).into_iter().map(|(line, name)| (line, rust.absolute(name))).collect();
        rust
    }

    /// The names of the modules that the file is in, itself last; none for the root of a crate.
    pub(super) fn modules(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let names = path.iter().map(|name| name.to_string_lossy().into_owned());
        let mut modules: Vec<String> = names.skip_while(|name| name != "src").skip(1).collect();
        if matches!(modules.as_slice(), [root] if root == "lib" || root == "main") {
            modules.clear();
        }
        modules
    }

    pub(super) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }

    /// The line of the first name that is `name` or below it.
    pub(super) fn mentions(&self, name: &str) -> Option<usize> {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with("::");
        self.names.iter().find(|(_, n)| n.strip_prefix(name).is_some_and(is_below)).map(|(l, _)| *l)
    }

    /// A relative path as one from the root of the crate. In a module within a file `super` is the
    /// file, and what is in it is taken for its neighbour: none of the rules tells these apart.
    fn absolute(&self, name: String) -> String {
        let mut modules = self.modules();
        let mut rest = name.as_str();
        let mut relative = false;
        loop {
            if let Some(below) = rest.strip_prefix("super::") {
                modules.pop();
                rest = below;
            } else if let Some(below) = rest.strip_prefix("self::") {
                rest = below;
            } else {
                break;
            }
            relative = true;
        }
        if relative {
            modules.insert(0, "crate".to_owned());
            return format!("{}::{rest}", modules.join("::"));
        }
        match name.strip_prefix("monitor::") {
            Some(below) => format!("crate::{below}"),
            None => name,
        }
    }
}

/// Text as two texts of the same lines: code with literals emptied, and what comments say.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            0
        };
        if length > 0 {
            comments.push_str(&rest[..length]);
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
            continue;
        }
        let literal = literal(rest, code.chars().next_back());
        let length = literal.unwrap_or(c.len_utf8());
        for c in rest[..length].chars() {
            if c == '\n' {
                comments.push('\n');
            }
            if c == '\n' || literal.is_none() {
                code.push(c);
            }
        }
        if literal.is_some() {
            code.push('_');
        }
        rest = &rest[length..];
    }
    (code, comments)
}

/// The length of the string or character that `text` begins with.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(raw) = text.strip_prefix('r').filter(|_| !in_word) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let body = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(1 + hashes + 1 + body);
    }
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
        // Not a character but a lifetime or a label.
        if quote == '\'' && at > 1 && !text[1..].starts_with('\\') {
            return None;
        }
    }
    None
}

/// The paths and names in code, with their lines.
fn names(code: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    // What each open brace puts before the names in it.
    let mut prefixes = vec![String::new()];
    let mut name = String::new();
    for (line, text) in (1..).zip(code.lines()) {
        for c in text.chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' || c == ':' {
                name.push(c);
                continue;
            }
            let prefix = prefixes.last().map_or("", String::as_str);
            let full = format!("{prefix}{name}");
            if !name.trim_matches(':').is_empty() {
                names.push((line, full.trim_matches(':').to_owned()));
            }
            if c == '{' {
                prefixes.push(if full.ends_with("::") { full } else { String::new() });
            }
            if c == '}' && prefixes.len() > 1 {
                prefixes.pop();
            }
            name.clear();
        }
    }
    names
}
