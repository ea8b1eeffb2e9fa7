//! Names of containers, from the files of the engines that run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::cache::Cache;
use crate::host::HostPaths;

/// How many containers are remembered.
const CAPACITY: usize = 4096;

/// Reads each container's name once. Clones share what they know.
#[derive(Clone, Debug)]
pub struct Names(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    docker: PathBuf,
    storage: PathBuf,
    known: Mutex<Cache<String, Option<String>>>,
}

impl Names {
    /// Those of the host that is seen at `paths`.
    pub fn new(paths: &HostPaths) -> Self {
        let locate = |path| paths.locate(Path::new(path));
        Self(Arc::new(Inner {
            docker: locate("/var/lib/docker/containers"),
            storage: locate("/var/lib/containers/storage/overlay-containers/containers.json"),
            known: Mutex::new(Cache::new(CAPACITY)),
        }))
    }

    /// The name of the container `id`, when its engine keeps one.
    pub fn name(&self, id: &str) -> Option<String> {
        let Self(inner) = self;
        // What a panic left is as good as before.
        let known = || inner.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known().get(id) {
            return name;
        }
        // Without the lock, as others need not wait for a file. Another thread may have found it meanwhile, and its
        // engine have forgotten it.
        let name = inner.docker_name(id).or_else(|| inner.storage_name(id));
        let mut known = known();
        let name = name.or_else(|| known.get(id).flatten());
        known.insert(id.to_owned(), name.clone());
        name
    }
}

impl Inner {
    fn docker_name(&self, id: &str) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Container {
            name: String,
        }
        let container: Container = read_json(&self.docker.join(id).join("config.v2.json"))?;
        Some(container.name.trim_start_matches('/').to_owned()).filter(|name| !name.is_empty())
    }

    /// Podman and cri-o share one list.
    fn storage_name(&self, id: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Container {
            id: String,
            #[serde(default)]
            names: Vec<String>,
        }
        let containers: Vec<Container> = read_json(&self.storage)?;
        containers.into_iter().find(|container| container.id == id)?.names.into_iter().next()
    }
}

/// A file that is not there, or is not what we know, means an engine that is not used here.
fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn names(scratch: &Scratch) -> Names {
        Names::new(&HostPaths { root: scratch.path(""), ..HostPaths::default() })
    }

    #[test]
    fn docker_names_are_read_once() {
        let scratch = Scratch::new("names-docker");
        let file = format!("var/lib/docker/containers/{ID}/config.v2.json");
        scratch
            .write(&file, r#"{"StreamConfig":{},"ID":"x","Name":"/web-1","Config":{"Tty":false}}"#);
        let names = names(&scratch);
        assert_eq!(names.name(ID).as_deref(), Some("web-1"));
        scratch.write(&file, r#"{"Name":"/other"}"#);
        assert_eq!(names.name(ID).as_deref(), Some("web-1"));
    }

    #[test]
    fn clones_know_names_of_containers_that_are_gone() {
        let scratch = Scratch::new("names-clones");
        let file = format!("var/lib/docker/containers/{ID}/config.v2.json");
        scratch.write(&file, r#"{"Name":"/job"}"#);
        let names = names(&scratch);
        names.clone().name(ID);
        fs::remove_file(scratch.path(&file)).unwrap();
        assert_eq!(names.name(ID).as_deref(), Some("job"));
    }

    #[test]
    fn podman_names_come_from_the_shared_list() {
        let scratch = Scratch::new("names-podman");
        scratch.write(
            "var/lib/containers/storage/overlay-containers/containers.json",
            &format!(r#"[{{"id":"a","layer":"l"}},{{"id":"{ID}","names":["db"],"image":"i"}}]"#),
        );
        let names = names(&scratch);
        assert_eq!(names.name(ID).as_deref(), Some("db"));
        assert_eq!(names.name("a"), None);
    }

    #[test]
    fn a_container_without_a_name_has_none() {
        let scratch = Scratch::new("names-none");
        for content in ["", "{", "[]", "{}", r#"{"Name":""}"#, r#"{"Name":7}"#] {
            scratch.write(&format!("var/lib/docker/containers/{ID}/config.v2.json"), content);
            assert_eq!(names(&scratch).name(ID), None, "{content}");
        }
        assert_eq!(names(&scratch).name("not-there"), None);
    }
}
