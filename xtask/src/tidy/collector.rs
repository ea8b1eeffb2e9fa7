//! The Collector's sources, which are generated, against the manifest that they are generated from.

use std::path::Path;

use super::{Finding, Tree};

const MANIFEST: &str = "otel-collector/builder.yaml";
/// Generated files that name components as `module version`.
const GENERATED: [&str; 2] =
    ["otel-collector/distribution/components.go", "otel-collector/distribution/main.go"];
/// The generated file that pins them.
const MODULE: &str = "otel-collector/distribution/go.mod";

/// Every component of the manifest is in the sources and pinned there, and no other is.
pub(super) fn matches_manifest(tree: &Tree) -> Vec<Finding> {
    let wanted = lines(tree, MANIFEST, |line| line.trim().strip_prefix("- gomod: "));
    let generated: Vec<Component> = GENERATED
        .iter()
        .flat_map(|path| lines(tree, path, |line| component(line.split('"').nth_back(1)?)))
        .collect();
    let pinned = lines(tree, MODULE, |line| component(line.trim().trim_start_matches("require ")));
    let missing = wanted
        .iter()
        .filter(|(.., name)| !has(&generated, name) || !has(&pinned, name))
        .map(|found| finding(found, "is not in the generated sources, or another version is"));
    let superfluous = generated
        .iter()
        .filter(|(.., name)| !has(&wanted, name))
        .map(|found| finding(found, "is generated, and the manifest does not have it"));
    missing.chain(superfluous).collect()
}

fn has(components: &[Component], name: &str) -> bool {
    components.iter().any(|(.., other)| *other == name)
}

/// A path, a number of a line, and a module with its version.
type Component<'a> = (&'a Path, usize, &'a str);

/// The components that are named in a file.
fn lines<'a>(
    tree: &'a Tree,
    path: &str,
    find: fn(&'a str) -> Option<&'a str>,
) -> Vec<Component<'a>> {
    let file = tree.collector.iter().find(|(other, _)| other == Path::new(path));
    let found = file.map(|(path, text)| {
        let lines = (1..).zip(text.lines());
        lines.filter_map(move |(number, line)| Some((path.as_path(), number, find(line)?)))
    });
    found.into_iter().flatten().collect()
}

/// `text`, if it is a module and a version.
fn component(text: &str) -> Option<&str> {
    let (module, version) = text.split_once(' ')?;
    (module.contains('/') && version.starts_with('v') && !version.contains(' ')).then_some(text)
}

fn finding((path, line, name): &Component, what: &str) -> Finding {
    let remedy = "generate them anew, as otel-collector/README.md says";
    Finding { path: path.to_path_buf(), line: *line, message: format!("`{name}` {what}; {remedy}") }
}
