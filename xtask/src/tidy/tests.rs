//! A bad example for every rule, and the nearest good one.

use std::path::Path;

use super::{RULES, Tree};

/// Rule, path, text, and the line that is found.
const BAD: &[(&str, &str, &str, usize)] = &[
    ("layers", "monitor/src/export/otlp.rs", "use aya::Ebpf;", 1),
    ("layers", "monitor/src/export.rs", "use crate::{\n    metric,\n    probe::PROBES,\n};", 3),
    ("layers", "monitor/src/export/otlp.rs", "use super::super::probe;", 1),
    ("layers", "monitor/src/probe/sched.rs", "fn f() {\n    crate::export::send();\n}", 2),
    ("layers", "monitor/src/probe/sched/decode.rs", "use std::{fmt, fs};", 1),
    ("layers", "monitor/src/aggregate/group.rs", "use tokio::sync::watch;", 1),
    ("stages", "monitor/src/cli.rs", "use crate::{export, probe};", 1),
    ("stages", "monitor/src/main.rs", "use monitor::probe;\nuse monitor::export::otlp;", 2),
    ("kernel pointers", "monitor-ebpf/src/bin/x.rs", "use aya_ebpf::bindings::{\n  sock,\n};", 2),
    ("kernel pointers", "monitor-ebpf/src/bin/x.rs", "fn f() { task.byte_add(8); }", 1),
    ("kernel pointers", "monitor-ebpf/src/map.rs", "use helpers::bpf_probe_read_kernel;", 1),
    ("main", "monitor/src/main.rs", LONG_MAIN, 81),
    ("length", "monitor/src/view.rs", LONG_FILE, 451),
    ("modules", "monitor/src/export/mod.rs", "", 1),
    ("unsafe", "monitor/src/a.rs", "fn f() {\n    unsafe { g() };\n}", 2),
    ("unsafe", "monitor/src/a.rs", "// SAFETY: fine.\nf();\nunsafe { g() };", 3),
    ("unsafe", "monitor/src/a.rs", "// SAFETY: fine.\n\nunsafe impl Pod for A {}", 3),
    ("notes", "monitor/src/a.rs", "// TODO: later", 1),
    ("notes", "monitor/src/a.rs", "fn f() {}\n/* FIXME() */", 2),
    ("collector", "otel-collector/builder.yaml", "receivers:\n  - gomod: x.org/a v1.0.0", 2),
    ("collector", "otel-collector/distribution/main.go", "\tx(): \"x.org/a v1.0.0\",", 1),
    ("links", "README.md", "See\n[this](docs/none.md).", 2),
    ("links", "docs/a.md", "[up](../README.md)", 1),
    ("links", "README.md", "[out](../../elsewhere.md)", 1),
    ("anchors", "README.md", "# Some heading\n[there](#other-heading)", 2),
    ("anchors", "docs/a.md", "[one](a.md) [two](./a.md#none)", 1),
];

/// Path and text of files that break no rule.
const GOOD: &[(&str, &str)] = &[
    ("monitor/src/export/otlp.rs", "use crate::sample::Sample;\n// use aya::Ebpf;\nlet probe = 1;"),
    ("monitor/src/export/otlp.rs", "const A: &str = \"crate::probe\"; use crate::probes;"),
    ("monitor/src/probe/sched.rs", "use std::fs;\nuse super::decode;"),
    ("monitor/src/probe/sched/decode/tests.rs", "use std::fs;"),
    ("monitor/src/daemon.rs", "use crate::{export, probe};"),
    ("monitor/tests/all/main.rs", LONG_MAIN),
    ("monitor-ebpf/src/kernel/task.rs", "use aya_ebpf::bindings::task_struct; p.byte_add(8);"),
    ("monitor-ebpf/src/bin/x.rs", "use aya_ebpf::bindings::{BPF_NOEXIST, bpf_map_type};"),
    (
        "monitor/src/a.rs",
        "// SAFETY: a,\n// and b.\nlet x =\n    unsafe { g() };\nunsafe fn h() {}",
    ),
    ("monitor/src/a.rs", "const A: &str = r#\"unsafe { \"g\" } // TODO\"#;\nconst B: char = '\"';"),
    ("monitor/src/a.rs", "const A: u8 = b'\"'; fn f<'a>(x: &'a str) {} // TODO(issue 7): later"),
    ("otel-collector/agent.yaml", "receivers:\n  otlp:"),
    ("otel-collector/distribution/main.go", "import (\n\ta \"x.org/a\"\n)\nVersion: \"1.0\","),
    ("README.md", "# A `b`, c\n[a](#a-b-c) [b](README.md) [c](https://example.org/x.md)"),
    ("docs/a.md", "```\n[not a link](none.md)\n```\n[folder](../docs)"),
];

const LONG_MAIN: &str = lines::<81>();
const LONG_FILE: &str = lines::<451>();

/// As many empty lines.
const fn lines<const N: usize>() -> &'static str {
    match str::from_utf8(&[b'\n'; N]) {
        Ok(lines) => lines,
        Err(_) => unreachable!(),
    }
}

/// What is found in a repository of this one file: rules and lines.
fn findings(path: &str, text: &str) -> Vec<(&'static str, usize)> {
    let mut tree = Tree::default();
    tree.add(Path::new(path), || Ok(text.to_owned())).expect("nothing is read");
    let found = RULES
        .iter()
        .flat_map(|(name, rule)| rule(&tree).into_iter().map(move |finding| (*name, finding.line)));
    found.collect()
}

#[test]
fn bad_examples_are_found() {
    for (rule, path, text, line) in BAD {
        let found = findings(path, text);
        assert!(found.contains(&(rule, *line)), "{rule}: {path}: {text:?}: {found:?}");
    }
}

#[test]
fn good_examples_are_not() {
    for (path, text) in GOOD {
        assert_eq!(findings(path, text), [], "{path}: {text:?}");
    }
}

#[test]
fn every_rule_has_a_bad_example() {
    for (name, _) in RULES {
        assert!(BAD.iter().any(|(rule, ..)| *rule == name), "{name}");
    }
}
