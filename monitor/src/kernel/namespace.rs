//! Whether the kernel shows us all of the host.

use std::{os::unix::fs::MetadataExt, path::Path};

/// The inode number of the initial PID namespace, `PROC_PID_INIT_INO`; part of the kernel's ABI.
const INITIAL_PID: u64 = 0xeffffffc;

/// We are in a PID namespace of our own.
#[derive(Debug, thiserror::Error)]
#[error(
    "monitor runs in a PID namespace of its own, where the kernel lists only the tasks in it: other \
     processes are measured only if they start later; run the container in the host's PID namespace"
)]
pub struct OwnPidNamespace;

/// Checks that task iterators show every task: they list the PID namespace of who starts them.
pub fn check() -> Result<(), OwnPidNamespace> {
    is_initial(Path::new("/proc/self/ns/pid")).then_some(()).ok_or(OwnPidNamespace)
}

/// Whether the link names the initial namespace; where there is no link there is only one.
fn is_initial(link: &Path) -> bool {
    link.metadata().map_or(true, |namespace| namespace.ino() == INITIAL_PID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_namespace_is_told_apart() {
        assert!(!is_initial(Path::new("/proc/self/ns/mnt")));
        assert!(is_initial(Path::new("/nonexistent")));
    }
}
