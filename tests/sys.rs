//! Safe forms of the few system calls that the standard library does not have.

pub mod bpf;
pub mod linger;
pub mod memory;
pub mod socket;

use std::{
    ffi::CString,
    fs::File,
    io, mem,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
    ptr,
    time::Duration,
};

/// Nanoseconds of the clock that kernel programs read.
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// On-CPU time of the calling thread in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    clock_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library cannot name a clock")]
    // SAFETY: the pointer is valid, and both clocks always exist.
    unsafe {
        libc::clock_gettime(clock, &raw mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Keeps a CPU busy until the calling thread has used this much more CPU time.
pub fn burn(time: Duration) {
    let end = thread_cpu_ns() + time.as_nanos() as u64;
    while thread_cpu_ns() < end {
        for _ in 0..100 {
            std::hint::spin_loop();
        }
    }
}

/// Whether this process may load programs.
pub fn is_root() -> bool {
    #[expect(unsafe_code, reason = "the standard library does not ask who we are")]
    // SAFETY: has no arguments and cannot fail.
    unsafe {
        libc::geteuid() == 0
    }
}

/// The CPUs that the calling thread may run on, lowest first.
pub fn cpus() -> Vec<usize> {
    #[expect(unsafe_code, reason = "libc's CPU sets")]
    // SAFETY: a set of plain bits, filled in by the kernel, asked for bits within it.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// The last of [`cpus`]: the first has more to do with interrupts.
pub fn last_cpu() -> String {
    cpus().last().expect("there is one").to_string()
}

/// Binds the calling thread, and threads and processes it starts from now on, to a CPU.
pub fn pin(cpu: usize) {
    pin_thread(0, cpu);
}

/// The id of the calling thread.
pub fn tid() -> i32 {
    #[expect(unsafe_code, reason = "the standard library does not say it")]
    // SAFETY: takes no arguments.
    unsafe {
        libc::gettid()
    }
}

/// Binds a thread to a CPU; 0 is the calling thread.
pub fn pin_thread(tid: i32, cpu: usize) {
    #[expect(unsafe_code, reason = "libc's CPU sets")]
    // SAFETY: a set of plain bits; libc checks the index.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(tid, size_of_val(&set), &raw const set)
    };
    assert_eq!(result, 0, "cannot run on CPU {cpu}: {}", io::Error::last_os_error());
}

/// Has the calling thread run before all others but those of the kernel, for as long as it wants.
pub fn run_first() {
    #[expect(unsafe_code, reason = "the standard library does not schedule")]
    // SAFETY: plain numbers.
    let result = unsafe {
        let param = libc::sched_param { sched_priority: 1 };
        libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param)
    };
    assert_eq!(result, 0, "cannot be scheduled first: {}", io::Error::last_os_error());
}

/// Names the calling thread. What it starts has that name until it chooses another.
pub fn set_comm(name: &str) {
    let name = CString::new(name).expect("no zeros in names");
    #[expect(unsafe_code, reason = "the standard library names new threads only")]
    // SAFETY: a valid C string.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
    }
}

/// Makes a named pipe.
pub fn mkfifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("no zeros in paths");
    #[expect(unsafe_code, reason = "the standard library cannot make named pipes")]
    // SAFETY: a valid C string.
    let result = unsafe { libc::mkfifo(path.as_ptr(), 0o600) };
    assert_eq!(result, 0, "cannot make the pipe {path:?}: {}", io::Error::last_os_error());
}

/// Waits for an RCU grace period, where the kernel's global memory barrier does.
pub fn membarrier() {
    const GLOBAL: libc::c_int = 1;
    #[expect(unsafe_code, reason = "libc has no wrapper for membarrier")]
    // SAFETY: takes integers only.
    let _ = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}

/// Sends a signal to one process.
pub fn kill(pid: u32, signal: i32) {
    #[expect(unsafe_code, reason = "the standard library sends SIGKILL only")]
    // SAFETY: takes integers only.
    unsafe {
        libc::kill(pid as i32, signal);
    }
}

/// Does something while this process cannot open any more files.
pub fn without_new_files(act: impl FnOnce()) {
    let limit = |new: Option<&libc::rlimit>| {
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let new = new.map_or(ptr::null(), ptr::from_ref);
        #[expect(unsafe_code, reason = "the standard library does not set limits")]
        // SAFETY: both structures live during the call, or there is none.
        let result = unsafe { libc::prlimit(0, libc::RLIMIT_NOFILE, new, &raw mut old) };
        assert_eq!(result, 0, "cannot limit files: {}", io::Error::last_os_error());
        old
    };
    let before = limit(None);
    limit(Some(&libc::rlimit { rlim_cur: 0, ..before }));
    act();
    limit(Some(&before));
}

/// Forks the calling process, which must have one thread, and runs `child` in the copy. With a
/// `pid` the copy gets this process id, if that is free.
pub fn fork(pid: Option<u32>, child: impl FnOnce()) -> io::Result<u32> {
    let wanted = pid.unwrap_or(0);
    #[expect(unsafe_code, reason = "the standard library does not fork")]
    // SAFETY: `clone_args` is plain integers, and the pid it points to outlives the call. The
    // caller has one thread, so the copy may run anything; it ends here.
    unsafe {
        let mut args: libc::clone_args = mem::zeroed();
        args.exit_signal = libc::SIGCHLD as u64;
        if pid.is_some() {
            args.set_tid = &raw const wanted as u64;
            args.set_tid_size = 1;
        }
        match libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                child();
                libc::_exit(0)
            }
            pid => Ok(pid as u32),
        }
    }
}

/// Waits until a child has ended, and leaves it there to be looked at.
pub fn wait_until_ended(pid: u32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the standard library always reaps")]
    // SAFETY: the structure is plain bytes that the kernel fills in.
    let result = unsafe {
        let mut info: libc::siginfo_t = mem::zeroed();
        libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the calling process at once.
pub fn exit(code: i32) -> ! {
    #[expect(unsafe_code, reason = "the standard library runs destructors first")]
    // SAFETY: takes an integer only, and nothing runs afterwards.
    unsafe {
        libc::_exit(code)
    }
}

/// Ends the calling thread alone, even if it is the first.
pub fn exit_thread(code: i32) {
    #[expect(unsafe_code, reason = "the standard library ends the process with its first thread")]
    // SAFETY: takes an integer only; what the thread borrowed to others, it does not use any more.
    unsafe {
        libc::syscall(libc::SYS_exit, code);
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// As `wait` returns it.
    pub status: u32,
    /// Peak of its resident set.
    pub peak_rss_kib: u64,
}

/// Waits until a child has ended, and reaps it.
pub fn wait4(pid: u32) -> Ended {
    let mut status = 0;
    #[expect(unsafe_code, reason = "the standard library does not tell what a child used")]
    // SAFETY: the structure is plain integers that the kernel fills in, as is the status.
    let (result, usage) = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        (libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage), usage)
    };
    assert_eq!(result, pid as i32, "cannot wait for {pid}: {}", io::Error::last_os_error());
    Ended { status: status as u32, peak_rss_kib: usage.ru_maxrss as u64 }
}

/// Reaps a child.
pub fn reap(pid: u32) {
    #[expect(unsafe_code, reason = "the standard library reaps only what it started")]
    // SAFETY: takes integers and a null pointer, which is allowed.
    unsafe {
        libc::waitpid(pid as i32, ptr::null_mut(), 0);
    }
}

/// What a process and its threads, or its reaped children, used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time, in nanoseconds; the kernel gives microseconds.
    pub cpu_ns: u64,
    /// Voluntary context switches.
    pub voluntary: u64,
    /// Involuntary context switches.
    pub involuntary: u64,
    /// Page faults without input or output.
    pub minor_faults: u64,
    /// Page faults that waited for a page to be read.
    pub major_faults: u64,
}

/// `getrusage` of `RUSAGE_SELF`, `RUSAGE_THREAD` or `RUSAGE_CHILDREN`.
pub fn usage(who: i32) -> Usage {
    #[expect(unsafe_code, reason = "the standard library does not tell")]
    // SAFETY: the structure is plain integers that the kernel fills in.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    let ns = |time: libc::timeval| time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000;
    Usage {
        cpu_ns: ns(usage.ru_utime) + ns(usage.ru_stime),
        voluntary: usage.ru_nvcsw as u64,
        involuntary: usage.ru_nivcsw as u64,
        minor_faults: usage.ru_minflt as u64,
        major_faults: usage.ru_majflt as u64,
    }
}

/// Moves the calling thread into a network namespace that `ip netns` made; `-` is where it is.
pub fn enter_network(namespace: &str) {
    if namespace == "-" {
        return;
    }
    let path = format!("/run/netns/{namespace}");
    let file = File::open(&path).unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
    #[expect(unsafe_code, reason = "the standard library does not change namespaces")]
    // SAFETY: takes integers only.
    let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "cannot enter {path}: {}", io::Error::last_os_error());
}

/// Has whoever receives by a socket be told that no more comes.
pub fn receive_no_more(socket: &UdpSocket) {
    #[expect(unsafe_code, reason = "the standard library shuts down connections only")]
    // SAFETY: takes integers only.
    let result = unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
    assert_eq!(result, 0, "cannot shut down: {}", io::Error::last_os_error());
}

/// Has the connection be reset when it is closed, by a time of zero to linger.
pub fn cut_off(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    socket::set(stream, (libc::SOL_SOCKET, libc::SO_LINGER), &linger);
}

/// Has the kernel take so many bytes at once, beyond the limit that the host has.
pub fn enlarge_send_buffer(stream: &TcpStream, bytes: i32) {
    socket::set(stream, (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE), &bytes);
}

/// A socket for connections over IPv4 by a protocol.
fn stream_socket(protocol: i32) -> OwnedFd {
    #[expect(unsafe_code, reason = "the standard library chooses no protocol")]
    // SAFETY: takes integers only, and the descriptor is nobody else's.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM, protocol);
        assert!(fd >= 0, "cannot make a socket: {}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    }
}

/// Listens by MPTCP at a port that is free.
pub fn listen_by_mptcp(address: Ipv4Addr) -> TcpListener {
    let socket = stream_socket(libc::IPPROTO_MPTCP);
    let name = socket::name(SocketAddrV4::new(address, 0));
    #[expect(unsafe_code, reason = "the standard library has no MPTCP")]
    // SAFETY: the name is as large as it is said to be.
    let results = unsafe {
        let size = size_of_val(&name) as u32;
        let bound = libc::bind(socket.as_raw_fd(), (&raw const name).cast(), size);
        [bound, libc::listen(socket.as_raw_fd(), 128)]
    };
    assert_eq!(results, [0; 2], "cannot listen: {}", io::Error::last_os_error());
    socket.into()
}

/// Connects by MPTCP.
pub fn connect_by_mptcp(address: SocketAddrV4) -> TcpStream {
    connect(stream_socket(libc::IPPROTO_MPTCP), address)
}

/// Connects with the first bytes that are sent, by TCP Fast Open.
pub fn connect_by_fast_open(address: SocketAddrV4) -> TcpStream {
    let socket = stream_socket(libc::IPPROTO_TCP);
    socket::set(&socket, (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT), &1_i32);
    connect(socket, address)
}

fn connect(socket: OwnedFd, address: SocketAddrV4) -> TcpStream {
    let name = socket::name(address);
    #[expect(unsafe_code, reason = "the standard library connects by no socket that is there")]
    // SAFETY: the name is as large as it is said to be.
    let result = unsafe {
        let size = size_of_val(&name) as u32;
        libc::connect(socket.as_raw_fd(), (&raw const name).cast(), size)
    };
    assert_eq!(result, 0, "cannot connect: {}", io::Error::last_os_error());
    socket.into()
}
