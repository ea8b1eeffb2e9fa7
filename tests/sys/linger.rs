//! A program of the kernel's that takes long, and says when it is running.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_PROG_TYPE_RAW_TRACEPOINT: u32 = 17;

/// How often it reads the clock: some milliseconds, a hundred times that where the processor is emulated.
const TIMES: i32 = 100_000;

const PAGE: usize = 4096;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// The attached program, which runs for each child of this process as it is made, and its state: when
/// it began, and when it ended, of the last run.
pub struct Lingering {
    state: &'static [AtomicU64; 2],
    _files: [OwnedFd; 3],
}

impl Lingering {
    /// Loads and attaches it.
    #[expect(clippy::new_without_default, reason = "it is no value, it loads a program")]
    pub fn new() -> Self {
        let map = open(BPF_MAP_CREATE, &[BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_MMAPABLE]);
        let instructions = program(map.as_raw_fd());
        let license = c"GPL";
        let [instruction, license] =
            [instructions.as_ptr() as u64, license.as_ptr() as u64].map(halves);
        let program = open(
            BPF_PROG_LOAD,
            &[
                BPF_PROG_TYPE_RAW_TRACEPOINT,
                instructions.len() as u32,
                instruction[0],
                instruction[1],
                license[0],
                license[1],
            ],
        );
        let name = halves(c"task_newtask".as_ptr() as u64);
        let link =
            open(BPF_RAW_TRACEPOINT_OPEN, &[name[0], name[1], program.as_raw_fd() as u32, 0]);
        #[expect(unsafe_code, reason = "memory that is shared with the kernel")]
        // SAFETY: a page of the map, which stays mapped until the process ends, and begins with its
        // value: two words that all sides read and write as a whole.
        let state = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let page =
                libc::mmap(ptr::null_mut(), PAGE, protection, libc::MAP_SHARED, map.as_raw_fd(), 0);
            assert!(page != libc::MAP_FAILED, "{}", io::Error::last_os_error());
            &*page.cast()
        };
        Self { state, _files: [map, program, link] }
    }

    /// When it began, and when it ended, in monotonic nanoseconds; 0 when it has not.
    pub fn state(&self) -> &[AtomicU64; 2] {
        self.state
    }

    /// Whether it is running now.
    pub fn is_running(&self) -> bool {
        let [begun, ended] = self.state;
        begun.load(Ordering::SeqCst) != 0 && ended.load(Ordering::SeqCst) == 0
    }

    /// As if it had never run.
    pub fn reset(&self) {
        self.state.iter().for_each(|time| time.store(0, Ordering::SeqCst));
    }
}

/// What it does, if this process runs it: notes the time, reads the clock often, and notes the time.
fn program(map: i32) -> Vec<Instruction> {
    let instruction =
        |code, registers, offset, immediate| Instruction { code, registers, offset, immediate };
    let clock = instruction(0x85, 0, 0, 5);
    vec![
        instruction(0x85, 0, 0, 14), // r0 = tgid << 32 | pid
        instruction(0x77, 0, 0, 32), // r0 >>= 32
        instruction(0x55, 0, 10, std::process::id() as i32), // to the end unless it is ours
        instruction(0x18, 0x26, 0, map), // r6 = the value
        instruction(0, 0, 0, 0),     // its second half
        clock,
        instruction(0x7b, 0x06, 0, 0),  // begun = r0
        instruction(0xb7, 7, 0, TIMES), // r7 = times
        clock,
        instruction(0x07, 7, 0, -1), // r7 -= 1
        instruction(0x55, 7, -3, 0), // again unless it is 0
        clock,
        instruction(0x7b, 0x06, 8, 0), // ended = r0
        instruction(0xb7, 0, 0, 0),    // r0 = 0
        instruction(0x95, 0, 0, 0),    // return
    ]
}

/// The halves of an address, as attributes have them.
fn halves(address: u64) -> [u32; 2] {
    [address as u32, (address >> 32) as u32]
}

/// Has the kernel make something that is known by a file descriptor.
fn open(command: libc::c_long, attributes: &[u32]) -> OwnedFd {
    #[expect(unsafe_code, reason = "libc has no wrapper for bpf")]
    // SAFETY: the attributes are integers, and all that they point to lives during the call; the
    // descriptor that comes back is nobody else's.
    unsafe {
        match libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) {
            -1 => panic!("bpf command {command}: {}", io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd as i32),
        }
    }
}
