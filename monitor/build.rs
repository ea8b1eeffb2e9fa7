//! Puts the BPF objects that `cargo xtask build` made where the probes include them from.

use std::{env, fs, path::PathBuf, process};

fn main() {
    println!("cargo::rerun-if-env-changed=MONITOR_BPF_DIR");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let objects = env::var_os("MONITOR_BPF_DIR")
        .map_or_else(|| manifest.join("../target/bpf"), PathBuf::from);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for probe in ["sched"] {
        let object = objects.join(probe).with_extension("o");
        println!("cargo::rerun-if-changed={}", object.display());
        if let Err(error) = fs::copy(&object, out.join(probe).with_extension("o")) {
            println!(
                "cargo::error=no BPF object {}: {error}; run `cargo xtask build`",
                object.display()
            );
            process::exit(1);
        }
    }
}
