//! The kernel's types, made wrong: a kernel that lacks something, or differs from what it says.

use std::{fs, iter, process::Command};

use super::program::{Directory, with_file_at};

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's types as a file says them, to be changed.
pub(crate) struct Types(Vec<u8>);

impl Types {
    pub(crate) fn of_this_kernel() -> Self {
        Self(fs::read(VMLINUX).unwrap_or_else(|error| panic!("cannot read {VMLINUX}: {error}")))
    }

    fn number(&self, at: usize) -> usize {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes")) as usize
    }

    /// Where a part of the file begins that the header has the offset of at `field`.
    fn part(&self, field: usize) -> usize {
        self.number(4) + self.number(field)
    }

    fn name(&self, offset: usize) -> &[u8] {
        let rest = &self.0[self.part(16) + offset..];
        &rest[..rest.iter().position(|byte| *byte == 0).expect("names end")]
    }

    /// Gives everything of this name another one: its last letter changes.
    pub(crate) fn rename(mut self, name: &str) -> Self {
        let wanted = [b"\0", name.as_bytes(), b"\0"].concat();
        let strings = self.part(16);
        let at = self.0[strings..].windows(wanted.len()).position(|it| it == wanted);
        let at = at.unwrap_or_else(|| panic!("this kernel has no {name}"));
        self.0[strings + at + name.len()] ^= 1;
        self
    }

    /// Says that a member of a structure is far behind its end.
    pub(crate) fn misplace(mut self, structure: &str, member: &str) -> Self {
        let found = self.member(structure, member);
        // In bits, and in 24 of them at most.
        self.0[found + 8..found + 11].copy_from_slice(&[0, 0, 0x40]);
        self
    }

    /// Says that two members of a structure are where the other is.
    pub(crate) fn exchange(mut self, structure: &str, one: &str, other: &str) -> Self {
        let [one, other] = [one, other].map(|member| self.member(structure, member));
        for byte in 8..12 {
            self.0.swap(one + byte, other + byte);
        }
        self
    }

    /// Says that a member of a structure is an integer of the type with this name.
    pub(crate) fn retype(mut self, structure: &str, member: &str, integer: &str) -> Self {
        let found = self.member(structure, member);
        let id = self.types().position(|(at, kind, _)| kind == 1 && self.is_named(at, integer));
        // Type 0 is not in the file.
        let id = id.unwrap_or_else(|| panic!("this kernel has no {integer}")) as u32 + 1;
        self.0[found + 4..found + 8].copy_from_slice(&id.to_le_bytes());
        self
    }

    /// Where the member of a structure begins.
    fn member(&self, structure: &str, member: &str) -> usize {
        let found = self.types().find(|(at, kind, _)| *kind == 4 && self.is_named(*at, structure));
        let (at, _, count) = found.unwrap_or_else(|| panic!("this kernel has no {structure}"));
        let mut members = (0..count).map(|index| at + 12 + 12 * index);
        let found = members.find(|at| self.is_named(*at, member));
        found.unwrap_or_else(|| panic!("{structure} has no {member}"))
    }

    fn is_named(&self, at: usize, name: &str) -> bool {
        self.name(self.number(at)) == name.as_bytes()
    }

    /// Where each type begins, its kind, and how many items follow.
    fn types(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let (mut at, end) = (self.part(8), self.part(8) + self.number(12));
        iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (begin, info) = (at, self.number(at + 4));
            let (kind, count) = (info >> 24 & 0x1f, info & 0xffff);
            // How much follows the three numbers that each type begins with, by its kind.
            let follows = match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * count,
                6 | 13 => 8 * count,
                _ => 0,
            };
            at += 12 + follows;
            Some((begin, kind, count))
        })
    }

    /// The program where these are the kernel's types. The directory has them in it.
    pub(crate) fn program(&self, directory: &Directory) -> Command {
        let path = directory.path("vmlinux");
        fs::write(&path, &self.0).unwrap_or_else(|error| panic!("cannot write {path:?}: {error}"));
        with_file_at(VMLINUX, &path)
    }
}
