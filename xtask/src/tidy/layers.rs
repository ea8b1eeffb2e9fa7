//! Who may know whom.

use super::{Finding, Rust, Tree};

/// Modules called `module`, and those below, never mention anything below `forbidden`.
struct Layer {
    module: &'static str,
    forbidden: &'static [&'static str],
    why: &'static str,
    remedy: &'static str,
}

const IO: &[&str] = &["std::fs", "std::net", "std::process", "tokio"];

const LAYERS: [Layer; 6] = [
    Layer {
        module: "export",
        forbidden: &["aya", "crate::probe"],
        why: "exporters do not depend on where a number comes from",
        remedy: "take it from a sample or a view",
    },
    Layer {
        module: "probe",
        forbidden: &["crate::export"],
        why: "probes do not know what becomes of their samples",
        remedy: "hand on samples, and let `daemon` connect the two",
    },
    Layer {
        module: "decode",
        forbidden: IO,
        why: "decoding is arithmetic over bytes, and tested as such",
        remedy: "read in the probe, and pass what was read",
    },
    Layer {
        module: "stalls",
        forbidden: IO,
        why: "it decodes, which is arithmetic over bytes, and tested as such",
        remedy: "read in the probe, and pass what was read",
    },
    Layer {
        module: "top_k",
        forbidden: IO,
        why: "choosing is arithmetic over costs, and tested as such",
        remedy: "read in an earlier stage, and pass what was read",
    },
    Layer {
        module: "aggregate",
        forbidden: IO,
        why: "aggregation is arithmetic over samples, and tested as such",
        remedy: "read in an earlier stage, and pass what was read",
    },
];

pub(super) fn forbidden_imports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, modules) in daemon_files(tree) {
        for layer in LAYERS.iter().filter(|layer| modules.iter().any(|m| m == layer.module)) {
            for name in layer.forbidden {
                findings.extend(file.mentions(name).map(|line| {
                    let Layer { module, why, remedy, .. } = layer;
                    file.finding(line, format!("`{module}` uses `{name}`, but {why}; {remedy}"))
                }));
            }
        }
    }
    findings
}

pub(super) fn only_daemon_knows_all(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, modules) in daemon_files(tree) {
        let both = file.mentions("crate::probe").zip(file.mentions("crate::export"));
        if let Some((probe, export)) = both
            && modules.first().is_none_or(|module| module != "daemon")
        {
            findings.push(file.finding(
                probe.max(export),
                "uses both `probe` and `export`, but only `daemon` knows every stage; \
                 connect them there",
            ));
        }
    }
    findings
}

pub(super) fn kernel_pointers(tree: &Tree) -> Vec<Finding> {
    const ACCESS: [&str; 3] = ["byte_add", "byte_sub", "byte_offset"];
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| file.path.starts_with("monitor-ebpf/src")) {
        if file.modules().first().is_some_and(|module| module == "kernel") {
            continue;
        }
        for (line, name) in &file.names {
            let last = name.rsplit("::").next().unwrap_or(name);
            // Of what is bound from the kernel's headers, only structures have such names.
            let structure = name.contains("bindings::")
                && last.starts_with(|c: char| c.is_lowercase())
                && !last.starts_with("bpf_");
            if structure || ACCESS.contains(&last) || last.starts_with("bpf_probe_read") {
                findings.push(file.finding(
                    *line,
                    format!(
                        "`{last}` outside of `kernel`, the one place to check for what is read of \
                         the kernel; add an accessor there"
                    ),
                ));
            }
        }
    }
    findings
}

/// The daemon's files with their modules. Tests may do what they like.
fn daemon_files(tree: &Tree) -> impl Iterator<Item = (&Rust, Vec<String>)> {
    tree.rust
        .iter()
        .filter(|file| file.path.starts_with("monitor/src"))
        .map(|file| (file, file.modules()))
        .filter(|(_, modules)| !modules.iter().any(|module| module == "tests"))
}
