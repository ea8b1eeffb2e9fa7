//! Puts the BPF objects that `cargo xtask build` made where the probes include them from.

use std::{env, fs, io, path::Path, path::PathBuf, process};

fn main() {
    println!("cargo::rerun-if-env-changed=MONITOR_BPF_DIR");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let objects = env::var_os("MONITOR_BPF_DIR")
        .map_or_else(|| manifest.join("../target/bpf"), PathBuf::from);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={}", objects.display());
    if let Err(error) = copy(&objects, &out) {
        println!(
            "cargo::error=no BPF objects in {}: {error}; run `cargo xtask build`",
            objects.display()
        );
        process::exit(1);
    }
}

fn copy(objects: &Path, out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(objects)? {
        let object = entry?.path();
        if let Some(name) = object.file_name()
            && object.extension().is_some_and(|extension| extension == "o")
        {
            fs::copy(&object, out.join(name))?;
        }
    }
    Ok(())
}
