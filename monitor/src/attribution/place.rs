//! What the path of a cgroup says: the container and the systemd unit.

/// Where a process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Id of the innermost container.
    pub(super) container_id: Option<String>,
    /// The innermost systemd service or scope that is not itself a container.
    pub(super) unit: Option<String>,
}

impl Place {
    /// Of the cgroup at `path`, if it is itself that of a container or a unit.
    pub(super) fn of_cgroup(path: &str) -> Option<Self> {
        let mut outward = path.rsplit('/').filter(|name| !name.is_empty());
        let (name, parent) = (outward.next()?, outward.next().unwrap_or_default());
        (container_id(name, parent).is_some() || is_unit(name)).then(|| Self::from_path(path))
    }

    /// Reads the path of a cgroup, from the root of its hierarchy.
    pub(super) fn from_path(path: &str) -> Self {
        let mut place = Self::default();
        let mut outward = path.split('/').rev().filter(|name| !name.is_empty()).peekable();
        while let Some(name) = outward.next() {
            let parent = outward.peek().copied().unwrap_or_default();
            if let Some(id) = container_id(name, parent) {
                place.container_id.get_or_insert_with(|| id.to_owned());
            } else if place.unit.is_none() && is_unit(name) {
                place.unit = Some(unescape(name));
            }
        }
        place
    }
}

/// The id of the container that `name` below `parent` is the cgroup of.
fn container_id<'a>(name: &'a str, parent: &str) -> Option<&'a str> {
    // All but LXC and Fargate end in 64 hexadecimal digits, with or without the runtime's name
    // before them: docker-<id>.scope, cri-containerd-<id>.scope, slice:cri-containerd:<id>,
    // crio-<id>, libpod-payload-<id>, and plain <id> below docker, kubepods or ecs.
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let (runtime, id) = stem.rsplit_once(['-', ':']).unwrap_or(("", stem));
    if is_hex(id, 64) {
        // Podman's and cri-o's monitor process runs beside the container, not in it.
        return (!runtime.ends_with("conmon")).then_some(id);
    }
    // Fargate: <task>/<task>-<number>.
    if is_hex(runtime, 32) && runtime == parent && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(stem);
    }
    match parent {
        "lxc" | "lxc.payload" => Some(name),
        _ => name.strip_prefix("lxc.payload.").filter(|name| !name.is_empty()),
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_unit(name: &str) -> bool {
    [".service", ".scope"].iter().any(|kind| name.len() > kind.len() && name.ends_with(kind))
}

/// The name of a unit from the name of its cgroup: `\x2d` is `-`, and an underscore stands before
/// names that could be taken for files of the kernel.
fn unescape(name: &str) -> String {
    let mut rest = name.strip_prefix('_').unwrap_or(name).as_bytes();
    let mut unescaped = Vec::with_capacity(rest.len());
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some((escaped, tail)) = escaped_byte(rest) {
            unescaped.push(escaped);
            rest = tail;
        } else {
            unescaped.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&unescaped).into_owned()
}

/// The byte that `\xNN` at the start of `text` stands for, and what follows.
fn escaped_byte(text: &[u8]) -> Option<(u8, &[u8])> {
    let digits = text.strip_prefix(br"\x")?;
    let (digits, tail) = digits.split_at_checked(2)?;
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
    Some((u8::from_str_radix(digits, 16).ok()?, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_every_runtime() {
        let table = include_str!("../../../tests/fixtures/cgroup/paths.tsv");
        let mut rows = 0;
        for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let [path, container, unit] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line:?} does not have three columns");
            };
            let expected = |text: &str| (text != "-").then(|| text.to_owned());
            let place = Place { container_id: expected(container), unit: expected(unit) };
            assert_eq!(Place::from_path(path), place, "{path}");
            rows += 1;
        }
        assert!(rows > 40, "only {rows} rows in paths.tsv");
    }

    #[test]
    fn only_the_cgroups_of_containers_and_units_are_places_themselves() {
        let id = "0123456789abcdef".repeat(4);
        for (path, is_place) in [
            ("/", false),
            ("/system.slice", false),
            ("/system.slice/web.service", true),
            ("/system.slice/web.service/worker", false),
            (&*format!("/docker/{id}"), true),
            (&*format!("/docker/{id}/init.scope"), true),
            (&*format!("/docker/{id}/sub"), false),
            (&*format!("/kubepods/besteffort/pod1234/{id}"), true),
            ("/kubepods/besteffort/pod1234", false),
        ] {
            assert_eq!(Place::of_cgroup(path).is_some(), is_place, "{path}");
        }
    }

    #[test]
    fn odd_escapes_are_left_alone() {
        for name in [r"a\x.service", r"a\x2.service", r"a\xzz.service", r"a\x+1.service", r"\"] {
            assert_eq!(unescape(name), name);
        }
        assert_eq!(unescape(r"a\xff.service"), "a\u{fffd}.service");
    }
}
