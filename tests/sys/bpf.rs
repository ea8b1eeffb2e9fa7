//! Maps of others, read by the `bpf` system call.

use std::{
    fs, io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use monitor_common::Pod;

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_FD_BY_ID: libc::c_long = 14;

/// What `BPF_MAP_GET_FD_BY_ID` takes.
#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// What `BPF_MAP_LOOKUP_ELEM` takes, and those that change an entry.
#[repr(C)]
struct Element {
    map: u32,
    unused: u32,
    /// Address of the key.
    key: u64,
    /// Address of where the value goes.
    value: u64,
    flags: u64,
}

/// A map with keys of four bytes: an array, or storage that is kept with threads.
pub struct Map<V> {
    file: OwnedFd,
    /// How many entries there are, if it is an array.
    pub entries: u32,
    values: PhantomData<V>,
}

impl<V: Pod> Map<V> {
    /// Opens the map with this id. Panics unless its values have the size of `V`.
    pub fn open(id: u32) -> Self {
        let by_id = ById { id, next: 0, flags: 0 };
        #[expect(unsafe_code, reason = "libc has no wrapper for bpf")]
        // SAFETY: the attributes are plain integers, and the descriptor that comes back is nobody
        // else's.
        let file = unsafe {
            match libc::syscall(libc::SYS_bpf, BPF_MAP_GET_FD_BY_ID, &by_id, size_of_val(&by_id)) {
                -1 => panic!("cannot open map {id}: {}", io::Error::last_os_error()),
                fd => OwnedFd::from_raw_fd(fd as i32),
            }
        };
        let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
        let info = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let number = |name: &str| {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{info}"))
        };
        let sizes = [number("key_size"), number("value_size")].map(|size: u32| size as usize);
        assert_eq!(sizes, [size_of::<u32>(), size_of::<V>()], "sizes in map {id}");
        Self { file, entries: number("max_entries"), values: PhantomData }
    }

    /// An entry of an array.
    pub fn get(&self, index: u32) -> V {
        let mut value = MaybeUninit::<V>::uninit();
        self.call(BPF_MAP_LOOKUP_ELEM, index, value.as_mut_ptr() as u64);
        #[expect(unsafe_code, reason = "the kernel has written it")]
        // SAFETY: when the kernel finds a value it writes all of it, and every bit pattern is one.
        unsafe {
            value.assume_init()
        }
    }

    /// Changes an entry of an array.
    pub fn set(&self, index: u32, value: &V) {
        self.call(BPF_MAP_UPDATE_ELEM, index, ptr::from_ref(value) as u64);
    }

    /// What is kept with the first thread of a process.
    pub fn of_process(&self, pid: u32) -> V {
        self.get(open_process(pid).as_raw_fd() as u32)
    }

    /// Removes what is kept with the first thread of a process.
    pub fn remove_of_process(&self, pid: u32) {
        let process = open_process(pid);
        let key = process.as_raw_fd() as u32;
        self.call(BPF_MAP_DELETE_ELEM, key, 0);
    }

    /// Does something with the entry of a key. `value` is the address of a value or of room for one, or 0 where
    /// the command takes none.
    fn call(&self, command: libc::c_long, key: u32, value: u64) {
        let element = Element {
            map: self.file.as_raw_fd() as u32,
            unused: 0,
            key: &raw const key as u64,
            value,
            flags: 0,
        };
        #[expect(unsafe_code, reason = "libc has no wrapper for bpf")]
        // SAFETY: the attributes are plain integers, and what they point to lives during the call: a key, and a
        // value or room for one, both of the map's sizes, as was checked when it was opened.
        let result = unsafe {
            let size = size_of_val(&element);
            libc::syscall(libc::SYS_bpf, command, &element, size)
        };
        let error = io::Error::last_os_error();
        assert_eq!(result, 0, "command {command} of bpf with key {key}: {error}");
    }
}

/// A descriptor of a process.
fn open_process(pid: u32) -> OwnedFd {
    #[expect(unsafe_code, reason = "the standard library does not open processes")]
    // SAFETY: takes integers only, and the descriptor that comes back is nobody else's.
    unsafe {
        match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
            -1 => panic!("cannot open process {pid}: {}", io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd as i32),
        }
    }
}
