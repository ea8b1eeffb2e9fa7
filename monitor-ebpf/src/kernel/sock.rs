//! A socket, and what the kernel counts of a TCP connection.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_probe_read_kernel,
    generated::{bpf_skc_to_tcp_sock, bpf_sock_from_file},
};
use monitor_common::offsets::{ABSENT, LowByte, Offset, SockOffsets};

use super::task::{constant, member};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static SOCK_OFFSETS: SockOffsets = SockOffsets::ABSENT;

/// Part of the kernel's ABI, as are the protocols.
const AF_INET: u16 = 2;
pub(super) const AF_INET6: u16 = 10;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
const IPPROTO_MPTCP: u16 = 262;
/// The place among a socket's flags of the one that says that the other end has sent all it had;
/// userspace looks it up by this name before loading.
#[unsafe(no_mangle)]
static SOCK_DONE: u32 = ABSENT;

/// States of a connection, by the numbers of the kernel.
pub mod state {
    pub const ESTABLISHED: u8 = 1;
    pub const SYN_SENT: u8 = 2;
    pub const SYN_RECV: u8 = 3;
    pub const FIN_WAIT1: u8 = 4;
    pub const CLOSE: u8 = 7;
    pub const CLOSE_WAIT: u8 = 8;
    pub const LAST_ACK: u8 = 9;
    pub const LISTEN: u8 = 10;
}

/// A state of a `struct socket`, part of the kernel's ABI.
const SS_UNCONNECTED: u32 = 1;

/// Bytes of a UDP header.
const UDP_HEADER: u64 = 8;
/// The place of the flag that says that datagrams wait for more; userspace looks it up by this name
/// before loading, and it is 0 where the flag is alone.
#[unsafe(no_mangle)]
static UDP_FLAGS_CORK: u32 = 0;

/// The bit that says that a socket receives no more. It is part of the kernel's ABI: `unix_diag` shows
/// these bits of a socket as they are (`UNIX_DIAG_SHUTDOWN`).
const RCV_SHUTDOWN: u8 = 1;

/// The third word of IPv4 addresses in their form as IPv6 addresses, as it is sent.
const MAPPED: u32 = 0xffff_u32.to_be();

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&SOCK_OFFSETS.$field)
    };
}

/// The form that IPv6 has for an IPv4 address.
#[inline(always)]
pub(super) fn mapped(v4: u32) -> [u32; 4] {
    [0, 0, MAPPED, v4]
}

/// The kernel's smoothed round-trip time in nanoseconds.
#[inline(always)]
fn rtt_ns(srtt_us: u32) -> u64 {
    u64::from(srtt_us) * 1000 / 8
}

/// One end of a connection.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// The address as it is sent; of IPv4 the one that IPv6 has for it.
    pub address: [u32; 4],
    /// The port.
    pub port: u16,
}

/// A protocol above IP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Connections that consist of several of TCP.
    Mptcp,
    /// Datagrams.
    Udp,
}

/// A socket of any protocol. It is only read, never written.
#[derive(Clone, Copy)]
pub struct Sock(*mut c_void);

impl Sock {
    /// The socket that a program was given, if it was given one.
    #[inline(always)]
    pub fn from_ptr(sock: *const c_void) -> Option<Self> {
        if sock.is_null() { None } else { Some(Self(sock.cast_mut())) }
    }

    /// The socket that a `struct socket` stands for, if it does for any.
    ///
    /// # Safety
    /// `socket` is null, or a pointer that the verifier knows to be one to a `struct socket`.
    #[inline(always)]
    pub unsafe fn from_socket(socket: *const c_void) -> Option<Self> {
        if socket.is_null() {
            return None;
        }
        // SAFETY: by the caller's promise, and the offset is that of its socket.
        Self::from_ptr(unsafe { member(socket, offset!(socket_sk)) })
    }

    /// The socket of an open file, if it is one.
    #[inline(always)]
    pub fn from_file(file: *const c_void) -> Option<Self> {
        // SAFETY: the verifier checks the pointer, and knows the type of what comes back.
        unsafe { Self::from_socket(bpf_sock_from_file(file.cast_mut().cast()).cast()) }
    }

    /// For helpers.
    #[inline(always)]
    pub fn as_ptr(self) -> *mut c_void {
        self.0
    }

    /// Tells it from every other socket that exists.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// Which protocol above IP it is for, if it is for one of those that are measured.
    #[inline(always)]
    pub fn transport(self) -> Option<Transport> {
        let family = self.read(offset!(family));
        if family != AF_INET && family != AF_INET6 {
            return None;
        }
        match self.read(offset!(protocol)) {
            IPPROTO_TCP => Some(Transport::Tcp),
            IPPROTO_UDP => Some(Transport::Udp),
            IPPROTO_MPTCP => Some(Transport::Mptcp),
            _ => None,
        }
    }

    /// Whether a process has connections by it.
    #[inline(always)]
    pub fn is_for_connections(self) -> bool {
        matches!(self.transport(), Some(Transport::Tcp | Transport::Mptcp))
    }

    /// Smoothed round-trip time of the first subflow of an MPTCP connection in nanoseconds; 0 for none.
    #[inline(always)]
    pub fn first_rtt_ns(self) -> u64 {
        if offset!(first_subflow).is_absent() {
            return 0;
        }
        // SAFETY: reads nothing where nothing is; the types are those of the members.
        let srtt: Result<u32, _> = unsafe {
            let first = self.0.cast_const().byte_add(offset!(first_subflow).bytes()).cast();
            bpf_probe_read_kernel::<*const c_void>(first).and_then(|first| {
                bpf_probe_read_kernel(first.byte_add(offset!(srtt_us).bytes()).cast())
            })
        };
        rtt_ns(srtt.unwrap_or(0))
    }

    /// Whether it is for IPv6, which carries IPv4 too.
    #[inline(always)]
    pub fn is_ipv6(self) -> bool {
        self.read(offset!(family)) == AF_INET6
    }

    /// The connection's state, by the numbers of the kernel.
    #[inline(always)]
    pub fn state(self) -> u8 {
        self.read(offset!(state))
    }

    /// Why the connection ended, 0 when by the process's own wish.
    #[inline(always)]
    pub fn error(self) -> i32 {
        self.read(offset!(error))
    }

    /// Whether the process has no connection, nor one that is being opened: the call to connect that runs
    /// now has not got that far.
    #[inline(always)]
    pub fn is_unconnected(self) -> bool {
        let socket = self.read(offset!(socket));
        // SAFETY: the verifier knows the type of the pointer, and null reads as 0, which is no state.
        !socket.is_null() && unsafe { member(socket, offset!(socket_state)) } == SS_UNCONNECTED
    }

    /// How many datagrams a process has sent that has just sent as many `bytes` by UDP: none where they
    /// wait for more, or are added to what waits. What waits by the socket's option (UDP_CORK) is counted
    /// as it begins, as the call that ends it sends nothing; what waits by MSG_MORE as it ends.
    #[inline(always)]
    pub fn datagrams(self, bytes: u64) -> u64 {
        if self.peek(offset!(udp_pending)) == Some(0) {
            return 1;
        }
        let is_first =
            self.peek(offset!(udp_len)).is_some_and(|len| u64::from(len) == UDP_HEADER + bytes);
        let LowByte(flags) = self.peek(offset!(udp_cork)).unwrap_or(LowByte(0));
        u64::from(is_first && flags >> constant(&UDP_FLAGS_CORK) & 1 != 0)
    }

    /// Reads a member of the structure that begins with this one, which is a socket for UDP.
    #[inline(always)]
    fn peek<T>(self, offset: Offset<T>) -> Option<T> {
        let member = self.0.cast_const().cast::<u8>().wrapping_add(offset.bytes());
        // SAFETY: reads nothing where nothing is.
        unsafe { bpf_probe_read_kernel(member.cast::<T>()) }.ok()
    }

    /// Whether it receives no more, and says so to whoever wants to.
    #[inline(always)]
    pub fn receives_no_more(self) -> bool {
        self.read(offset!(shutdown)) & RCV_SHUTDOWN != 0
    }

    /// Tells its network namespace from every other that exists.
    #[inline(always)]
    pub fn net(self) -> u64 {
        self.read(offset!(net))
    }

    /// The other end.
    #[inline(always)]
    pub fn remote(self) -> Endpoint {
        let address = self.ip(offset!(remote_v4), offset!(remote_v6));
        Endpoint { address, port: self.remote_port() }
    }

    /// The other end's port; 0 while there is no other end.
    #[inline(always)]
    pub fn remote_port(self) -> u16 {
        u16::from_be(self.read(offset!(remote_port)))
    }

    /// This end.
    #[inline(always)]
    pub fn local(self) -> Endpoint {
        let address = self.ip(offset!(local_v4), offset!(local_v6));
        Endpoint { address, port: self.local_port() }
    }

    /// The own port.
    #[inline(always)]
    pub fn local_port(self) -> u16 {
        self.read(offset!(local_port))
    }

    /// The connection, if it is a TCP socket that is not about to vanish.
    #[inline(always)]
    pub fn tcp(self) -> Option<TcpSock> {
        // SAFETY: the verifier checks the pointer.
        let tcp: *mut c_void = unsafe { bpf_skc_to_tcp_sock(self.0) }.cast();
        if tcp.is_null() { None } else { Some(TcpSock { sock: self, tcp }) }
    }

    #[inline(always)]
    fn ip(self, v4: Offset<u32>, v6: Offset<[u32; 4]>) -> [u32; 4] {
        let family = self.read(offset!(family));
        if family == AF_INET6 && !v6.is_absent() {
            let word = |index| self.read(v6.element(index));
            return [word(0), word(1), word(2), word(3)];
        }
        mapped(self.read(v4))
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: every caller names a member of it, and the verifier checks the pointer.
        unsafe { member(self.0.cast_const(), offset) }
    }
}

/// What the kernel counts of a connection.
#[derive(Clone, Copy)]
pub struct TcpSock {
    sock: Sock,
    tcp: *mut c_void,
}

impl TcpSock {
    /// Bytes sent, without those sent again.
    #[inline(always)]
    pub fn bytes_sent(self) -> u64 {
        let all = self.read(offset!(bytes_sent));
        all.wrapping_sub(self.read(offset!(bytes_retrans)))
    }

    /// Sequence number of the first byte that is sent. It never changes once the connection is open.
    #[inline(always)]
    pub fn first(self) -> u32 {
        self.read(offset!(snd_nxt)).wrapping_sub(self.bytes_sent() as u32)
    }

    /// Bytes that the process has handed to the kernel to send on a connection with this first byte:
    /// unlike [`Self::bytes_sent`], nothing but a call of the process changes it. Once no more can follow,
    /// only what was sent.
    #[inline(always)]
    pub fn bytes_written(self, first: u32) -> u64 {
        let sent = self.bytes_sent();
        let state = self.sock.state();
        if state != state::ESTABLISHED && state != state::CLOSE_WAIT {
            return sent;
        }
        // The sequence number has the lower half. What is sent meanwhile does not change the result.
        let written = self.read(offset!(write_seq)).wrapping_sub(first);
        let waiting = written.wrapping_sub(sent as u32) as i32;
        sent.wrapping_add(i64::from(waiting) as u64)
    }

    /// Bytes received in order.
    #[inline(always)]
    pub fn bytes_received(self) -> u64 {
        let all = self.read(offset!(bytes_received));
        let flags = self.sock.read(offset!(flags));
        // The kernel counts the mark that says that no more will come for a byte.
        all.wrapping_sub(flags >> constant(&SOCK_DONE) & 1)
    }

    /// Segments sent again.
    #[inline(always)]
    pub fn retransmits(self) -> u64 {
        self.read(offset!(total_retrans)).into()
    }

    /// The address of the MPTCP connection that this is a subflow of. Processes have only that; no program
    /// gets from one to the other in a way that the verifier knows.
    #[inline(always)]
    pub fn mptcp(self) -> Option<u64> {
        if offset!(is_mptcp).is_absent() || self.read(offset!(is_mptcp)) == 0 {
            return None;
        }
        let subflow = self.read(offset!(ulp_data));
        // SAFETY: reads nothing where nothing is; the type is that of the member.
        let connection: u64 = unsafe {
            bpf_probe_read_kernel(subflow.byte_add(offset!(subflow_conn).bytes()).cast()).ok()?
        };
        (connection != 0).then_some(connection)
    }

    /// Smoothed round-trip time in nanoseconds; 0 when there was no round trip yet.
    #[inline(always)]
    pub fn rtt_ns(self) -> u64 {
        rtt_ns(self.read(offset!(srtt_us)))
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: every caller names a member of it, and the verifier checks the pointer.
        unsafe { member(self.tcp.cast_const(), offset) }
    }
}
