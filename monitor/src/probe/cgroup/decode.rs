//! From the raw bytes of a change of a cgroup to the change. No input or output here.

use monitor_common::cgroup::{CREATED, Change, REMOVED};

use crate::{
    probe::events::decode::read,
    sample::{CgroupChange, CgroupEvent},
};

/// The change that the bytes are; `None` when a program of another version wrote them, or when the path
/// is not text.
pub(super) fn change(bytes: &[u8]) -> Option<CgroupChange<'_>> {
    let Change { kind, path_len, id, has_throttling, throttling } = read(bytes)?;
    let path = bytes.get(size_of::<Change>()..)?.get(..path_len as usize)?;
    let what = match kind {
        CREATED => CgroupEvent::Created,
        REMOVED => {
            let values = [throttling.periods, throttling.throttled, throttling.throttled_ns];
            CgroupEvent::Removed { throttling: (has_throttling != 0).then_some(values) }
        }
        _ => return None,
    };
    Some(CgroupChange { id, path: str::from_utf8(path).ok()?, what })
}

#[cfg(test)]
mod tests {
    use monitor_common::{Pod, cgroup::Throttling};

    use super::*;

    fn bytes(change: &Change, path: &[u8]) -> Vec<u8> {
        fn of<T: Pod>(value: &T) -> &[u8] {
            #[expect(unsafe_code, reason = "as the kernel's programs write them")]
            // SAFETY: plain bytes without padding.
            unsafe {
                std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>())
            }
        }
        [of(change), path].concat()
    }

    #[test]
    fn changes_have_an_id_a_path_and_the_last_counters() {
        let throttling = Throttling { periods: 1, throttled: 2, throttled_ns: 3 };
        let created = Change { kind: CREATED, path_len: 2, id: 7, has_throttling: 0, throttling };
        let removed = Change { kind: REMOVED, ..created };
        let with_quota = Change { has_throttling: 1, ..removed };
        for (it, what) in [
            (created, CgroupEvent::Created),
            (removed, CgroupEvent::Removed { throttling: None }),
            (with_quota, CgroupEvent::Removed { throttling: Some([1, 2, 3]) }),
        ] {
            let expected = CgroupChange { id: 7, path: "/a", what };
            assert_eq!(change(&bytes(&it, b"/ax")), Some(expected));
        }
    }

    #[test]
    fn bytes_that_are_no_change_are_skipped() {
        let whole = Change { kind: CREATED, path_len: 2, id: 7, ..Change::default() };
        for (it, path) in [
            (Change { kind: 9, ..whole }, &b"/a"[..]),
            (whole, b"/"),
            (whole, b"\xff\xfe"),
            (Change { path_len: u32::MAX, ..whole }, b"/a"),
        ] {
            assert_eq!(change(&bytes(&it, path)), None, "{it:?} {path:?}");
        }
        assert_eq!(change(&bytes(&whole, b"/a")[..20]), None);
    }
}
