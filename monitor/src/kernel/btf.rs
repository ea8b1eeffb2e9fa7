//! Member offsets and enumerators from the kernel's BTF.
//!
//! aya reads BTF too, but only hands out type ids; crates that offer members copy every name and
//! type, which costs more memory than the rest of the daemon. This reads in place what it is asked
//! for.

use std::{fmt, fs, io, path::Path};

/// Where the running kernel keeps its BTF.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why the kernel's types could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error(
        "cannot read the kernel's types from {path}: {source}; the kernel must be built with \
         CONFIG_DEBUG_INFO_BTF, and /sys must be mounted"
    )]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the kernel's types in {path} are damaged: {what}; see the kernel's build")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// The kinds of BTF types that matter here, and how many bytes follow each kind's header.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const POINTER: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Bytes of a type's header: name, info, and size or type.
const HEADER: usize = 12;

/// Bytes of a pointer: a program runs on the kernel that it was built for.
const POINTER_BYTES: u32 = size_of::<usize>() as u32;

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its offset in bits.
    bits: u32,
    /// How large it is.
    pub size: Size,
}

impl Member {
    /// Its offset in bytes; rounded down for a bit field.
    pub fn offset(self) -> u32 {
        self.bits / 8
    }
}

/// How large a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// An integer, a pointer, an enumeration, a structure or a union.
    Bytes(u32),
    /// A bit field.
    Bits(u32),
    /// An array.
    Array {
        /// Number of elements.
        count: u32,
        /// Bytes of one.
        bytes: u32,
    },
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(1) => write!(f, "1 byte"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Bits(bits) => write!(f, "a bit field of {bits} bits"),
            Self::Array { count, bytes } => write!(f, "an array of {count} times {bytes} bytes"),
        }
    }
}

/// BTF as the kernel gives it, and where in it each type begins.
pub struct Types {
    data: Vec<u8>,
    strings: usize,
    starts: Vec<u32>,
}

impl Types {
    /// Reads the BTF file at `path`.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let data = fs::read(path)
            .map_err(|source| BtfError::Read { path: path.display().to_string(), source })?;
        Self::index(data)
            .map_err(|what| BtfError::Damaged { path: path.display().to_string(), what })
    }

    /// The raw bytes, for aya.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn index(data: Vec<u8>) -> Result<Self, &'static str> {
        let word = |at: usize| read_u32(&data, at);
        let magic = data.get(..2).ok_or("it is empty")?;
        if magic != 0xeb9f_u16.to_ne_bytes() {
            return Err("it does not begin with the magic number");
        }
        let header = word(4).ok_or("its header is cut")? as usize;
        let field = |at| word(at).ok_or("its header is cut").map(|value| value as usize);
        let (types, types_len) = (header + field(8)?, field(12)?);
        let strings = header + field(16)?;
        // Type 0 is void and not in the file.
        let mut starts = vec![u32::MAX];
        let mut at = types;
        while at < types + types_len {
            starts.push(at as u32);
            let info = word(at + 4).ok_or("its types are cut")?;
            let items = (info & 0xffff) as usize;
            at += HEADER
                + match info >> 24 & 0x1f {
                    kind::INT | kind::VAR | kind::DECL_TAG => 4,
                    kind::ARRAY => 12,
                    kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * items,
                    kind::ENUM | kind::FUNC_PROTO => 8 * items,
                    _ => 0,
                };
        }
        Ok(Self { data, strings, starts })
    }

    /// A member, given as `struct.member.member`; members of anonymous structures and unions count as
    /// members of what they are in. `None` when there is no such member.
    pub fn member(&self, path: &str) -> Option<Member> {
        let mut parts = path.split('.');
        let mut ty = self.find(&[kind::STRUCT], parts.next()?)?;
        let mut member = Member { bits: 0, size: Size::Bytes(0) };
        for name in parts {
            let (inner, member_type) = self.member_of(self.resolve(ty)?, name)?;
            member = Member { bits: member.bits + inner.bits, size: inner.size };
            ty = member_type;
        }
        Some(member)
    }

    /// The value of an enumerator, looked up by its own name in every enumeration: that of an
    /// enumeration may be missing or change. `None` where there is none, or where enumerations
    /// disagree on the value.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        let enumerations = self.starts[1..].iter().map(|&start| start as usize);
        let mut values = enumerations
            .filter(|&at| self.kind(at) == Some(kind::ENUM))
            .flat_map(|at| (0..self.items(at)).map(move |item| at + HEADER + 8 * item))
            .filter(|&item| self.name_at(item) == Some(name.as_bytes()))
            .filter_map(|item| self.word(item + 4));
        let value = values.next()?;
        values.all(|other| other == value).then_some(value)
    }

    /// The names of a function's parameters.
    pub fn parameters(&self, function: &str) -> Option<Vec<&str>> {
        let function = self.find(&[kind::FUNC], function)?;
        let prototype = self.start(self.word(function + 8)?)?;
        (0..self.items(prototype))
            .map(|item| str::from_utf8(self.name_at(prototype + HEADER + 8 * item)?).ok())
            .collect()
    }

    /// Where a type of one of the kinds, with this name, begins.
    fn find(&self, kinds: &[u32], name: &str) -> Option<usize> {
        self.starts[1..].iter().map(|&start| start as usize).find(|&at| {
            self.kind(at).is_some_and(|kind| kinds.contains(&kind))
                && self.name_at(at) == Some(name.as_bytes())
        })
    }

    /// A member of the structure or union at `at`, and its type.
    fn member_of(&self, at: usize, name: &str) -> Option<(Member, usize)> {
        if !matches!(self.kind(at)?, kind::STRUCT | kind::UNION) {
            return None;
        }
        // With the kind flag set the offset shares its word with the width of a bit field.
        let mask = if self.word(at + 4)? >> 31 == 1 { 0xff_ffff } else { u32::MAX };
        for item in 0..self.items(at) {
            let item = at + HEADER + 12 * item;
            let ty = self.start(self.word(item + 4)?)?;
            let offset = self.word(item + 8)?;
            let bits = offset & mask;
            match self.name_at(item)? {
                b"" => {
                    if let Some((inner, ty)) = self.member_of(ty, name) {
                        return Some((Member { bits: bits + inner.bits, ..inner }, ty));
                    }
                }
                found if found == name.as_bytes() => {
                    let size = match offset & !mask {
                        0 => self.size(ty)?,
                        width => Size::Bits(width >> 24),
                    };
                    return Some((Member { bits, size }, ty));
                }
                _ => {}
            }
        }
        None
    }

    /// How large a value of the type at `at` is.
    fn size(&self, at: usize) -> Option<Size> {
        let at = self.resolve(at)?;
        Some(match self.kind(at)? {
            kind::POINTER => Size::Bytes(POINTER_BYTES),
            kind::ARRAY => {
                let bytes = match self.size(self.start(self.word(at + HEADER)?)?)? {
                    Size::Bytes(bytes) | Size::Bits(bytes) => bytes,
                    Size::Array { count, bytes } => count * bytes,
                };
                Size::Array { count: self.word(at + HEADER + 8)?, bytes }
            }
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::FLOAT | kind::ENUM64 => {
                Size::Bytes(self.word(at + 8)?)
            }
            _ => return None,
        })
    }

    /// Follows qualifiers and type definitions.
    fn resolve(&self, mut at: usize) -> Option<usize> {
        while matches!(
            self.kind(at)?,
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::TYPE_TAG
        ) {
            at = self.start(self.word(at + 8)?)?;
        }
        Some(at)
    }

    fn start(&self, id: u32) -> Option<usize> {
        self.starts.get(id as usize).map(|&start| start as usize)
    }

    fn kind(&self, at: usize) -> Option<u32> {
        Some(self.word(at + 4)? >> 24 & 0x1f)
    }

    fn items(&self, at: usize) -> usize {
        self.word(at + 4).map_or(0, |info| (info & 0xffff) as usize)
    }

    /// The name that the word at `at` points to.
    fn name_at(&self, at: usize) -> Option<&[u8]> {
        let name = self.data.get(self.strings + self.word(at)? as usize..)?;
        name.split(|&byte| byte == 0).next()
    }

    fn word(&self, at: usize) -> Option<u32> {
        read_u32(&self.data, at)
    }
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        Types::read(Path::new(VMLINUX)).expect("this kernel has BTF")
    }

    #[test]
    fn finds_nested_and_anonymous_members() {
        let types = types();
        let offset = |path| types.member(path).map(Member::offset);
        let se = offset("task_struct.se").unwrap();
        let runtime = offset("sched_entity.sum_exec_runtime").unwrap();
        assert_eq!(offset("task_struct.se.sum_exec_runtime"), Some(se + runtime));
        // `union { struct { ... }; }` without names, in every kernel that has BTF.
        let page = offset("page._refcount").unwrap();
        assert!(page > offset("page.flags").unwrap());
        assert_eq!(offset("task_struct.no_such_member"), None);
        assert_eq!(offset("no_such_struct.pid"), None);
    }

    #[test]
    fn members_of_known_distance() {
        let types = types();
        let offset = |path| types.member(path).map(Member::offset);
        assert_eq!(offset("list_head.next"), Some(0));
        assert_eq!(offset("list_head.prev"), Some(8));
        let pid = offset("task_struct.pid").unwrap();
        assert_eq!(offset("task_struct.tgid"), Some(pid + 4));
    }

    /// Members whose declarations have not changed since 5.10.
    #[test]
    fn sizes_of_members() {
        let types = types();
        let size = |path| types.member(path).unwrap().size;
        assert_eq!(size("list_head.next"), Size::Bytes(8));
        assert_eq!(size("task_struct.pid"), Size::Bytes(4));
        assert_eq!(size("task_struct.comm"), Size::Array { count: 16, bytes: 1 });
        assert_eq!(size("sock.sk_protocol"), Size::Bytes(2));
        // A structure around an integer, a union, an array of arrays, a bit of an integer.
        assert_eq!(size("signal_struct.live"), Size::Bytes(4));
        assert_eq!(size("in6_addr.in6_u"), Size::Bytes(16));
        assert_eq!(size("task_struct.in_execve"), Size::Bits(1));
    }

    #[test]
    fn finds_enumerators() {
        let types = types();
        assert_eq!(types.enumerator("BPF_MAP_TYPE_HASH"), Some(1));
        assert_eq!(types.enumerator("BPF_MAP_TYPE_NONE"), None);
        // In an enumeration without a name in every kernel.
        assert_eq!(types.enumerator("BPF_F_NO_PREALLOC"), Some(1));
    }

    #[test]
    fn parameters_of_functions() {
        let types = types();
        // As it has been since 2.6.
        assert_eq!(types.parameters("udp_sendmsg"), Some(vec!["sk", "msg", "len"]));
        assert_eq!(types.parameters("no_such_function"), None);
        assert_eq!(types.parameters("task_struct"), None);
    }

    #[test]
    fn damaged_files_are_errors() {
        for bytes in [&b""[..], b"not BTF at all, but long enough", &[0x9f, 0xeb, 1, 0]] {
            assert!(Types::index(bytes.to_vec()).is_err());
        }
        let mut cut = types().data;
        cut.truncate(4096);
        assert_eq!(Types::index(cut).err(), Some("its types are cut"));
        let missing = Types::read(Path::new("/nonexistent/vmlinux")).err().unwrap();
        assert!(missing.to_string().contains("CONFIG_DEBUG_INFO_BTF"));
    }
}
