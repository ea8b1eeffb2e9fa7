//! The groups that processes are counted in.

use std::collections::HashSet;
use std::sync::Arc;

use crate::sample::Attributes;

/// What processes have in common that are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Group {
    /// Command name of the thread-group leader; without what tells kernel threads of one kind
    /// apart.
    pub executable: String,
    /// Id of the container.
    pub container_id: Option<String>,
    /// Name of the container.
    pub container_name: Option<String>,
    /// systemd service or scope.
    pub systemd_unit: Option<String>,
    /// Process id, when processes are counted one by one.
    pub pid: Option<u32>,
}

impl Group {
    /// The attributes of the group's series.
    pub fn attributes(&self) -> Attributes {
        let executable = Some(&self.executable).filter(|name| !name.is_empty());
        let text = [
            ("process.executable.name", executable),
            ("container.id", self.container_id.as_ref()),
            ("container.name", self.container_name.as_ref()),
            ("systemd.unit", self.systemd_unit.as_ref()),
        ];
        let text = text.into_iter().filter_map(|(name, value)| Some((name, value?.clone())));
        Attributes::new(text.chain(self.pid.map(|pid| ("process.pid", pid.to_string()))))
    }
}

/// Keeps one copy of each group that is in use.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: HashSet<Arc<Group>>,
    sweep_at: usize,
}

impl Groups {
    /// Sweeping is not worth it below this.
    const SWEEP_MIN: usize = 1024;

    /// The shared copy of `group`.
    pub(super) fn intern(&mut self, group: Group) -> Arc<Group> {
        if let Some(shared) = self.groups.get(&group) {
            return shared.clone();
        }
        if self.groups.len() >= self.sweep_at {
            self.groups.retain(|group| Arc::strong_count(group) > 1);
            self.sweep_at = Self::SWEEP_MIN.max(2 * self.groups.len());
        }
        let shared = Arc::new(group);
        self.groups.insert(shared.clone());
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_attributes_are_absent() {
        let group = Group { executable: "nginx".into(), ..Group::default() };
        assert_eq!(group.attributes(), Attributes::new([("process.executable.name", "nginx")]));
        assert_eq!(Group::default().attributes().iter().count(), 0);
        let group = Group {
            executable: "nginx".into(),
            container_id: Some("id".into()),
            container_name: Some("web".into()),
            systemd_unit: Some("web.service".into()),
            pid: Some(7),
        };
        let expected = [
            ("process.executable.name", "nginx"),
            ("container.id", "id"),
            ("container.name", "web"),
            ("systemd.unit", "web.service"),
            ("process.pid", "7"),
        ];
        assert_eq!(group.attributes().iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_groups_in_use_are_kept() {
        let mut groups = Groups::default();
        let group = |pid| Group { pid: Some(pid), ..Group::default() };
        let kept = groups.intern(group(0));
        for pid in 1..100_000 {
            groups.intern(group(pid));
            assert!(groups.groups.len() <= Groups::SWEEP_MIN);
        }
        assert!(Arc::ptr_eq(&kept, &groups.intern(group(0))));
    }
}
