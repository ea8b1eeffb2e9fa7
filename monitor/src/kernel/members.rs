//! Offsets of the members that programs read, if the running kernel has them in the width that is read.

use monitor_common::offsets::{ABSENT, Member, Table, Width};

use super::btf::{Size, Types};

/// Why a member cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MemberError {
    /// The kernel lacks it.
    #[error("the kernel has no {0}; this version of monitor does not support such a kernel")]
    Missing(&'static str),
    /// The kernel declares it in another size.
    #[error(
        "{member} is {size} in this kernel, and {} are read; this version of monitor does not \
         support such a kernel",
        read(*width)
    )]
    Width {
        /// The member.
        member: &'static str,
        /// How large the kernel declares it.
        size: Size,
        /// How it is read.
        width: Width,
    },
}

/// The offsets of a table's members.
pub(super) fn offsets(types: &Types, table: &Table) -> Result<Vec<u32>, MemberError> {
    table.members.iter().map(|member| offset(types, member)).collect()
}

fn offset(types: &Types, member: &Member) -> Result<u32, MemberError> {
    for &place in member.places {
        if place == "-" {
            return Ok(ABSENT);
        }
        let Some(found) = types.member(place) else { continue };
        if !fits(found.size, member.width) {
            return Err(MemberError::Width {
                member: place,
                size: found.size,
                width: member.width,
            });
        }
        return Ok(found.offset());
    }
    Err(MemberError::Missing(member.places[0]))
}

/// Whether what is read of a member is what the kernel keeps in it.
fn fits(size: Size, width: Width) -> bool {
    match (size, width) {
        (Size::Bits(_), _) => false,
        (_, Width::Nothing) => true,
        (Size::Bytes(size), Width::Exactly(read)) => size == read,
        (Size::Bytes(size), Width::LowByte) => matches!(size, 1 | 2 | 4 | 8),
        // Such as the four words of an IPv6 address.
        (Size::Bytes(size), Width::Elements { count, bytes }) => size == count * bytes,
        (Size::Array { count, bytes }, Width::Elements { count: first, bytes: read }) => {
            count >= first && bytes == read
        }
        (Size::Array { .. }, Width::Exactly(_) | Width::LowByte) => false,
    }
}

fn read(width: Width) -> String {
    match width {
        Width::Exactly(bytes) => Size::Bytes(bytes).to_string(),
        Width::LowByte => "the lowest byte".to_owned(),
        Width::Elements { count, bytes } => format!("{count} elements of {bytes} bytes"),
        Width::Nothing => "its place alone".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use monitor_common::offsets::{
        CgroupOffsets, MemoryOffsets, MessageOffsets, ProcessOffsets, RequestOffsets, SockOffsets,
        TaskOffsets, ThreadOffsets, ThrottleOffsets,
    };

    use super::*;
    use crate::kernel::btf::VMLINUX;

    fn types() -> Types {
        Types::read(Path::new(VMLINUX)).expect("this kernel has BTF")
    }

    #[test]
    fn this_kernel_has_every_member_as_it_is_read() {
        let types = types();
        for table in [
            TaskOffsets::TABLE,
            ThreadOffsets::TABLE,
            ThrottleOffsets::TABLE,
            ProcessOffsets::TABLE,
            RequestOffsets::TABLE,
            MemoryOffsets::TABLE,
            SockOffsets::TABLE,
            MessageOffsets::TABLE,
            CgroupOffsets::TABLE,
        ] {
            let offsets = offsets(&types, &table).unwrap();
            assert_eq!(offsets.len(), table.members.len());
        }
        assert!(!offsets(&types, &TaskOffsets::TABLE).unwrap().contains(&ABSENT));
    }

    #[test]
    fn a_member_of_another_width_is_named_with_both() {
        let types = types();
        let message =
            |places, width| offset(&types, &Member { places, width }).unwrap_err().to_string();
        assert_eq!(
            message(&["task_struct.pid", "-"], Width::Exactly(8)),
            "task_struct.pid is 4 bytes in this kernel, and 8 bytes are read; this version of \
             monitor does not support such a kernel"
        );
        let bits = message(&["task_struct.in_execve"], Width::LowByte);
        assert!(bits.contains("is a bit field of 1 bits in this kernel"), "{bits}");
        let missing = message(&["task_struct.no", "task_struct.none"], Width::Nothing);
        assert!(missing.starts_with("the kernel has no task_struct.no; "), "{missing}");
    }

    #[test]
    fn widths_that_fit() {
        let array = |count, bytes| Size::Array { count, bytes };
        let first = |count, bytes| Width::Elements { count, bytes };
        for (size, width, expected) in [
            (Size::Bytes(4), Width::Exactly(4), true),
            (Size::Bytes(1), Width::Exactly(4), false),
            (Size::Bytes(1), Width::LowByte, true),
            (Size::Bytes(4), Width::LowByte, true),
            (Size::Bytes(16), Width::LowByte, false),
            (Size::Bytes(16), first(4, 4), true),
            (array(64, 1), first(16, 1), true),
            (array(8, 1), first(16, 1), false),
            (array(4, 4), first(4, 8), false),
            (array(1, 4), Width::Exactly(4), false),
            (Size::Bits(8), Width::LowByte, false),
            (Size::Bits(8), Width::Nothing, false),
            (array(4, 40), Width::Nothing, true),
        ] {
            assert_eq!(fits(size, width), expected, "{size:?} {width:?}");
        }
    }
}
