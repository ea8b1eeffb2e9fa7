//! Files that the configuration names: certificates, keys and secrets, and whether they changed on disk.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::PathBuf};

use crate::config::Config;

/// What identifies a version of a file; `None` where the file is missing. It is that behind a symbolic link, which is
/// what Kubernetes replaces.
type Version = Option<[i64; 5]>;

/// The files, with their versions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamedFiles(BTreeMap<(&'static str, PathBuf), Version>);

impl NamedFiles {
    /// The files of a configuration as they are now.
    pub(super) fn of(config: &Config) -> Self {
        Self(config.files().into_iter().map(|file| (file.clone(), version(&file.1))).collect())
    }

    /// The same files as they are now.
    pub(super) fn again(&self) -> Self {
        Self(self.0.keys().map(|file| (file.clone(), version(&file.1))).collect())
    }

    /// The keys of files that are in both and whose versions differ.
    pub(super) fn changed_since(&self, earlier: &Self) -> Vec<&'static str> {
        let mut keys: Vec<_> = self
            .0
            .iter()
            .filter(|(file, version)| {
                earlier.0.get(file).is_some_and(|earlier| earlier != *version)
            })
            .map(|((key, _), _)| *key)
            .collect();
        // Metrics and logs may have files of their own for the same key.
        keys.dedup();
        keys
    }
}

fn version(path: &PathBuf) -> Version {
    let file = fs::metadata(path).ok()?;
    Some([
        file.dev() as i64,
        file.ino() as i64,
        file.size() as i64,
        file.ctime(),
        file.ctime_nsec(),
    ])
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        os::unix::fs::symlink,
        path::Path,
        process,
        sync::atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;

    /// A directory of a test.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("monitor-files-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
            let path = env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn files(certificate: &Path, key: &Path) -> NamedFiles {
        let mut config = Config::default();
        config.tls.certificate = Some(certificate.to_owned());
        config.tls.key = Some(key.to_owned());
        NamedFiles::of(&config)
    }

    #[test]
    fn changes_are_found_by_key() {
        let directory = Directory::new();
        let [certificate, key] = ["certificate", "key"].map(|name| directory.0.join(name));
        fs::write(&certificate, "old").unwrap();
        let first = files(&certificate, &key);
        assert_eq!(first.again(), first);
        fs::write(&key, "k").unwrap();
        let second = first.again();
        assert_eq!(second.changed_since(&first), ["tls.key"]);
        // The same size, in the place of the old file.
        let new = directory.0.join("new");
        fs::write(&new, "new").unwrap();
        fs::rename(new, certificate).unwrap();
        let third = second.again();
        assert_eq!(third.changed_since(&second), ["tls.certificate"]);
        assert_eq!(third.changed_since(&first), ["tls.certificate", "tls.key"]);
        let named_later = NamedFiles::default();
        assert!(third.changed_since(&named_later).is_empty());
    }

    #[test]
    fn replaced_directory_behind_a_symbolic_link_is_a_change() {
        let directory = Directory::new();
        let inside = |name: &str| directory.0.join(name);
        for data in ["1", "2"] {
            fs::create_dir(inside(data)).unwrap();
            fs::write(inside(data).join("tls.crt"), "same size").unwrap();
        }
        symlink("1", inside("..data")).unwrap();
        symlink("..data/tls.crt", inside("tls.crt")).unwrap();
        let first = files(&inside("tls.crt"), &inside("tls.key"));
        symlink("2", inside("..data_tmp")).unwrap();
        fs::rename(inside("..data_tmp"), inside("..data")).unwrap();
        assert_eq!(first.again().changed_since(&first), ["tls.certificate"]);
    }
}
