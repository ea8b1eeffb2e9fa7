//! The resource: which service on which host all that is exported belongs to, by the names of
//! OpenTelemetry's semantic conventions.

mod ec2;
mod id;
#[cfg(test)]
mod tests;

use std::{env, fs, path::Path};

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::{Resource, resource::EnvResourceDetector};

pub use self::ec2::{CloudError, ask_cloud};
use crate::host::HostPaths;

/// Where the system says what it is.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// This service on a host with these attributes. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`
/// add to it and go before it.
///
/// An instance is called by the id of its host: that is the same after each restart, and there is one
/// daemon on a host.
pub fn resource(host: Vec<KeyValue>) -> Resource {
    let value = |key| host.iter().rev().find(|pair| pair.key.as_str() == key);
    let instance =
        value("host.id").map(|pair| KeyValue::new("service.instance.id", pair.value.clone()));
    let builder = Resource::builder_empty()
        .with_service_name("monitor")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(instance)
        .with_attributes(host)
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => builder.with_service_name(name),
        _ => builder,
    }
    .build()
}

/// What the files of a host say of it.
pub struct Host {
    /// Its attributes. What cannot be read is left out.
    pub attributes: Vec<KeyValue>,
    /// What its `host.id` is, such as "the machine id"; `None` without one.
    pub id_source: Option<&'static str>,
}

/// Reads the files of a host.
pub fn of_host(paths: &HostPaths) -> Host {
    let mut attributes =
        vec![KeyValue::new("host.arch", architecture()), KeyValue::new("os.type", env::consts::OS)];
    let mut add = |key: &'static str, value: Option<String>| {
        attributes.extend(value.map(|value| KeyValue::new(key, value)));
    };
    let name = name(paths);
    let id = id::find(paths, name.as_deref());
    add("host.id", id.as_ref().map(|id| id.value.clone()));
    add("host.name", name);
    let release = OS_RELEASE.iter().find_map(|path| fs::read_to_string(at(paths, path)).ok());
    let release = release.as_deref().unwrap_or_default();
    add("os.name", assigned(release, "NAME"));
    add("os.version", assigned(release, "VERSION_ID"));
    let kernel = line(paths, "/proc/sys/kernel/osrelease").map(|kernel| format!("Linux {kernel}"));
    let described = [assigned(release, "PRETTY_NAME"), kernel];
    let described: Vec<_> = described.into_iter().flatten().collect();
    add("os.description", Some(described.join(", ")).filter(|text| !text.is_empty()));
    attributes.extend(ec2::known_by_firmware(paths));
    Host { attributes, id_source: id.map(|id| id.source) }
}

/// The architecture as the conventions call it.
fn architecture() -> Value {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .into()
}

/// The host's name. The kernel tells that of the container that asks.
fn name(paths: &HostPaths) -> Option<String> {
    let written = Some("/etc/hostname").filter(|_| paths.root != Path::new("/"));
    written.and_then(|path| line(paths, path)).or_else(|| sysinfo::System::host_name().ok())
}

/// What the only line of a file of the host says.
fn line(paths: &HostPaths, path: &str) -> Option<String> {
    let text = fs::read_to_string(at(paths, path)).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

fn at(paths: &HostPaths, path: &str) -> std::path::PathBuf {
    paths.locate(Path::new(path))
}

/// What a variable is set to in a file of assignments.
fn assigned(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
}
