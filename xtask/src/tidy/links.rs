//! Links between Markdown files.

use std::path::{Component, Path, PathBuf};

use super::{Finding, Tree};

/// A link to something in the repository.
struct Link<'a> {
    from: &'a Path,
    line: usize,
    /// The file or folder, below the root; `None` when it is outside.
    to: Option<PathBuf>,
    anchor: &'a str,
    text: &'a str,
}

pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    let dead = |link: &Link| !link.to.as_ref().is_some_and(|to| tree.has(to));
    let message = "leads nowhere; correct the link, or write what it promises";
    links(tree).filter(dead).map(|link| link.finding(message)).collect()
}

pub(super) fn anchors(tree: &Tree) -> Vec<Finding> {
    let dead = |link: &Link| {
        let target = tree.markdown.iter().find(|(path, _)| link.to.as_ref() == Some(path));
        let has_anchor = |text: &str| headings(text).any(|heading| heading == link.anchor);
        !link.anchor.is_empty() && target.is_some_and(|(_, text)| !has_anchor(text))
    };
    let message = "leads to no heading of that file; correct the part after `#`";
    links(tree).filter(dead).map(|link| link.finding(message)).collect()
}

impl Link<'_> {
    fn finding(&self, message: &str) -> Finding {
        Finding {
            path: self.from.to_owned(),
            line: self.line,
            message: format!("`{}` {message}", self.text),
        }
    }
}

/// All links that stay in the repository.
fn links(tree: &Tree) -> impl Iterator<Item = Link<'_>> {
    tree.markdown.iter().flat_map(|(from, text)| {
        prose(text).flat_map(move |(line, prose)| {
            let targets =
                prose.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            let targets = targets.filter(|text| !text.contains(':'));
            targets.map(move |text| {
                let (path, anchor) = text.split_once('#').unwrap_or((text, ""));
                let to = if path.is_empty() { Some(from.clone()) } else { resolve(from, path) };
                Link { from, line, to, anchor, text }
            })
        })
    })
}

/// A path as seen from a file; `None` when it leaves the repository.
fn resolve(from: &Path, path: &str) -> Option<PathBuf> {
    let mut to = from.parent()?.to_owned();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if to.pop() => {}
            Component::Normal(name) => to.push(name),
            _ => return None,
        }
    }
    Some(to)
}

/// The anchors of headings, made the way that hosts of repositories do.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The lines, with their numbers, that are not examples of code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_example = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_example ^= fence;
        !in_example && !fence
    })
}
