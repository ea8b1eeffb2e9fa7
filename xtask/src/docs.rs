//! Documentation that the program writes itself, from the tables it works by.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    build, command,
    workspace::{self, Profile},
};

/// The generated files, with the format of `monitor metrics` that each has.
const GENERATED: [(&str, &str); 2] =
    [("docs/metrics.md", "markdown"), ("docs/renames.tsv", "renames")];

/// The file that has a table of the second one.
const CHANGELOG: &str = "CHANGELOG.md";
/// What is before and after the table.
const MARKS: [&str; 2] =
    ["<!-- renames, written by `cargo xtask docs` -->\n", "<!-- end of renames -->\n"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a file is not up to date
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let daemon = build::daemon(Profile::Dev)?;
    for (file, format) in GENERATED {
        let text =
            command::output(Command::new(&daemon).args(["metrics", "--format", format]))? + "\n";
        update(args, file, &text)?;
        if format == "renames" {
            let path = workspace::root().join(CHANGELOG);
            let changelog =
                fs::read_to_string(&path).with_context(|| format!("cannot read {CHANGELOG}"))?;
            update(args, CHANGELOG, &with_renames(&changelog, &text)?)?;
        }
    }
    Ok(())
}

/// Writes a file, or fails where it is another and nothing is to be written.
fn update(args: &Args, file: &str, text: &str) -> Result<()> {
    let path = workspace::root().join(file);
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        println!("{file} is up to date");
        return Ok(());
    }
    if args.check {
        bail!("{file} is not what the program prints; run `cargo xtask docs` and commit it");
    }
    fs::create_dir_all(path.parent().expect("a file in a folder"))
        .and_then(|()| fs::write(&path, text))
        .with_context(|| format!("cannot write {file}"))?;
    println!("wrote {file}");
    Ok(())
}

/// The changelog with these renames between its marks.
fn with_renames(changelog: &str, renames: &str) -> Result<String> {
    let [before, after] = MARKS;
    let parts = changelog.split_once(before).and_then(|(head, rest)| {
        let (_, tail) = rest.split_once(after)?;
        Some((head, tail))
    });
    let Some((head, tail)) = parts else {
        bail!("{CHANGELOG} has no lines {before:?} and {after:?}");
    };
    let mut table = "| What | Of | Old | New |\n| --- | --- | --- | --- |\n".to_owned();
    for row in renames.lines().skip(1) {
        let [what, of, old, new] = row.split('\t').collect::<Vec<_>>()[..] else {
            bail!("not four columns: {row:?}");
        };
        let of = if of.is_empty() { String::new() } else { format!("`{of}`") };
        table += &format!("| {what} | {of} | `{old}` | `{new}` |\n");
    }
    Ok([head, before, &table, after, tail].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_stand_between_the_marks() {
        let [before, after] = MARKS;
        let old = format!("# Changelog\n{before}old\n{after}rest\n");
        let new = with_renames(&old, "what\tof\told\tnew\nmetric\t\ta\tb\n").unwrap();
        let table =
            "| What | Of | Old | New |\n| --- | --- | --- | --- |\n| metric |  | `a` | `b` |\n";
        assert_eq!(new, format!("# Changelog\n{before}{table}{after}rest\n"));
        assert!(with_renames("none", "").is_err());
    }
}
