//! The form of Rust files.

use super::{Finding, Tree};

/// Lines of a program's `main.rs`: it only puts together what is elsewhere.
const MAIN_LINES: usize = 80;
/// Lines of any file: what is longer is more than one thing.
const FILE_LINES: usize = 450;

pub(super) fn short_main(tree: &Tree) -> Vec<Finding> {
    let remedy = "a program's entry is read in one look; move what it does into modules";
    longer_than(tree, MAIN_LINES, "src/main.rs", remedy)
}

pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    longer_than(tree, FILE_LINES, ".rs", "it is more than one thing; split it by what it is about")
}

/// Files whose path ends so and that are too long.
fn longer_than(tree: &Tree, limit: usize, end: &str, remedy: &str) -> Vec<Finding> {
    let files = tree.rust.iter().filter(|file| file.path.to_string_lossy().ends_with(end));
    files
        .filter(|file| file.code.len() > limit)
        .map(|file| {
            let lines = file.code.len();
            file.finding(lines, format!("{lines} lines, more than {limit}: {remedy}"))
        })
        .collect()
}

pub(super) fn module_files(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust.iter().filter(|file| file.path.ends_with("mod.rs"));
    files
        .map(|file| {
            let folder = file.path.parent().unwrap_or(&file.path).with_extension("rs");
            let folder = folder.display();
            file.finding(1, format!("a module's own file is beside its folder; make it {folder}"))
        })
        .collect()
}

pub(super) fn safety_comments(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        for at in 0..file.code.len() {
            let code = &file.code[at];
            if !code.contains("unsafe {") && !code.contains("unsafe impl ") {
                continue;
            }
            // Upwards to the end of the statement before.
            let mut above = (0..at).rev().take_while(|above| {
                let code = file.code[*above].trim_end();
                let is_empty = code.is_empty() && file.comments[*above].is_empty();
                !is_empty && !code.ends_with([';', '{', '}'])
            });
            let is_argued = |at: usize| file.comments[at].contains("SAFETY:");
            if !is_argued(at) && !above.any(is_argued) {
                findings.push(file.finding(
                    at + 1,
                    "unsafe code without an argument for why it is sound; add `// SAFETY: ...` \
                     above it",
                ));
            }
        }
    }
    findings
}

pub(super) fn notes_have_reasons(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        for (line, comment) in (1..).zip(&file.comments) {
            for note in ["TODO", "FIXME"] {
                let Some((_, after)) = comment.split_once(note) else { continue };
                let reason = after.strip_prefix('(').and_then(|rest| rest.split_once(')'));
                if reason.is_none_or(|(reason, _)| reason.trim().is_empty()) {
                    findings.push(file.finding(
                        line,
                        format!(
                            "{note} that does not say what it waits for, so nobody can tell when \
                             it is due; write {note}(reason), or do it"
                        ),
                    ));
                }
            }
        }
    }
    findings
}
