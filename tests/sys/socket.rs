//! Connection attempts that the standard library cannot make.

use std::{
    io, mem,
    net::{SocketAddr, SocketAddrV4},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

/// How a process tries to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It waits for the result.
    Plain,
    /// It does not wait, and closes the socket.
    NonBlocking,
    /// It waits for a limited time, and closes the socket.
    SendTimeout,
    /// It has the kernel give up after a time.
    UserTimeout,
    /// A signal interrupts it, and it closes the socket.
    Signal,
}

/// The address for system calls.
pub(super) fn name(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*to.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// How long anything of this takes.
const TIME: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 300_000 };

/// Tries to connect by IPv4; returns the error, 0 for none.
pub fn attempt(to: SocketAddr, how: Attempt) -> i32 {
    let SocketAddr::V4(to) = to else { panic!("{to} is not one of IPv4") };
    let name = name(to);
    let flags = if how == Attempt::NonBlocking { libc::SOCK_NONBLOCK } else { 0 };
    #[expect(unsafe_code, reason = "the standard library connects in one way only")]
    // SAFETY: plain integers, and structures with their sizes; the handler does nothing.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0);
        assert!(socket >= 0, "cannot make a socket: {}", io::Error::last_os_error());
        let socket = OwnedFd::from_raw_fd(socket);
        match how {
            Attempt::SendTimeout => set(&socket, (libc::SOL_SOCKET, libc::SO_SNDTIMEO), &TIME),
            Attempt::UserTimeout => set(&socket, (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT), &300),
            Attempt::Signal => {
                let mut action: libc::sigaction = mem::zeroed();
                action.sa_sigaction = ignore as *const () as usize;
                libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut());
                let mut timer: libc::itimerval = mem::zeroed();
                timer.it_value = TIME;
                libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut());
            }
            Attempt::Plain | Attempt::NonBlocking => {}
        }
        let name = (&raw const name).cast();
        match libc::connect(socket.as_raw_fd(), name, size_of::<libc::sockaddr_in>() as u32) {
            0 => 0,
            _ => io::Error::last_os_error().raw_os_error().expect("it has a number"),
        }
    }
}

extern "C" fn ignore(_: i32) {}

/// Sends by a socket that is connected, with flags.
pub fn send(socket: &impl AsRawFd, bytes: &[u8], flags: i32) {
    #[expect(unsafe_code, reason = "the standard library has no flags")]
    // SAFETY: the bytes, with their number.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    assert_eq!(sent, bytes.len() as isize, "not sent: {}", io::Error::last_os_error());
}

/// Sets an option of a socket.
pub fn set<T>(socket: &impl AsRawFd, (level, name): (i32, i32), value: &T) {
    let size = size_of::<T>() as u32;
    #[expect(unsafe_code, reason = "the standard library has few options")]
    // SAFETY: the option's value, with its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), size)
    };
    assert_eq!(result, 0, "cannot set option {name}: {}", io::Error::last_os_error());
}
