//! `tcp`: what every process's connections do, and what connections to every service do; what
//! processes send and receive by UDP, and how long DNS servers take to answer them.
//!
//! Each socket carries who owns it. That is set where a process acts: it connects, listens, accepts,
//! sends or receives. Bytes, retransmissions and the round-trip time are counted by the kernel in the
//! socket. At each message, each retransmission and at the end, what they grew since the last report is
//! added to the connection's flow of the tick; nothing runs for each packet, and nothing for a connection
//! that is idle. Of UDP the kernel counts nothing, so that is added up here for each datagram.
#![no_std]
#![no_main]

mod connection;
mod datagram;
mod flow;
mod owner;
mod query;
mod record;

use core::ffi::c_void;

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap},
    macros::{btf_map, btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use monitor_common::{
    key::{BANKS, ProcessKey},
    tcp::{
        Connection, Flow, Listener, Loss, RECEIVE, ServiceKey, TRANSMIT, Traffic, flow::PER_BANK,
    },
    udp::{Datagrams, Dns, PLACES, QUERIES as MOST_QUERIES, Query, QueryKey},
};
use monitor_ebpf::{
    kernel::{FileIter, Message, Sock, Transport, call, state},
    ledger::Ledger,
    local_storage::SockStorage,
    slow::SlowRing,
};

use self::datagram::Moved;

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[btf_map]
static CONNECTIONS: SockStorage<Connection> = SockStorage::new();
/// What MPTCP connections carry, by the address of the socket that the process has.
#[btf_map]
static MPTCP: HashMap<u64, Connection, 16384, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
/// What each connection moved in the tick, by bank.
#[btf_map]
static FLOWS: Array<Flow, { BANKS * PER_BANK }> = Array::new();
/// How many flows were asked for, by bank; userspace empties it once a tick.
#[btf_map]
static FLOWS_USED: Array<u64, BANKS> = Array::new();
/// What the connections of each process did; userspace empties it once a tick.
#[btf_map]
static PROCESSES: HashMap<ProcessKey, Traffic, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();
/// What the connections to each service did; userspace empties it once a tick.
#[btf_map]
static SERVICES: HashMap<ServiceKey, Traffic, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();
/// The ports that were listened on when the probe was loaded.
#[btf_map]
static LISTENERS: HashMap<Listener, u64, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
/// The outstanding DNS queries; userspace takes out those that have timed out.
#[btf_map]
static QUERIES: HashMap<QueryKey, Query, MOST_QUERIES, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();
/// What each process sent, received and asked by UDP; userspace empties it once a tick.
#[btf_map]
static DATAGRAMS: HashMap<ProcessKey, Datagrams, 4096, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();
/// What each server was asked; userspace empties it once a tick.
#[btf_map]
static SERVERS: HashMap<ServiceKey, Dns, 1024, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
/// Which datagrams are counted at the ends of functions, and so not at tracepoints; by
/// [`monitor_common::udp::place`], not 0 for those that are. Written by userspace.
#[btf_map]
static AT_FUNCTIONS: Array<u64, PLACES> = Array::new();
/// Slow ones of what is measured; userspace empties it once a tick.
#[btf_map]
static EVENTS: SlowRing = SlowRing::new();
/// What was not measured, by bank.
#[btf_map]
static LOST: Ledger<{ Loss::COUNT }> = Ledger::new();

/// A connection begins, or a listener.
///
/// A softirq interrupts this program on its CPU, and from Linux 7.0 on another thread does: for connections that
/// change their state there the kernel skips it. So each of these programs is there twice, and the second finds
/// nothing left to do where the first has run.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    begins(&ctx)
}

/// The same for connections that the first is skipped for.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_second(ctx: BtfTracePointContext) -> i32 {
    begins(&ctx)
}

/// A connection ends. This is a program of its own, as the verifiers of older kernels give up on both in one.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_end(ctx: BtfTracePointContext) -> i32 {
    ends(&ctx)
}

/// The same for connections that the first is skipped for.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn inet_sock_set_state_end_second(ctx: BtfTracePointContext) -> i32 {
    ends(&ctx)
}

#[inline(always)]
fn begins(ctx: &BtfTracePointContext) -> i32 {
    let (before, after) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
    let Some(sock) = Sock::from_ptr(ctx.arg(0)) else { return 0 };
    if sock.transport() == Some(Transport::Tcp) {
        match after {
            state::SYN_SENT => connection::connecting(sock),
            state::ESTABLISHED => connection::opened(sock, before),
            state::LISTEN => connection::listening(sock),
            state::SYN_RECV if before == state::LISTEN => connection::made(sock),
            _ => {}
        }
    }
    0
}

#[inline(always)]
fn ends(ctx: &BtfTracePointContext) -> i32 {
    let (before, after) = (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8);
    let Some(sock) = Sock::from_ptr(ctx.arg(0)) else { return 0 };
    if let Some(Transport::Tcp | Transport::Mptcp) = sock.transport() {
        match after {
            state::FIN_WAIT1 | state::LAST_ACK => owner::closing(sock),
            state::CLOSE => connection::closed(sock, before),
            _ => {}
        }
    }
    0
}

/// A process has sent something, on kernels from 6.3.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    let moved = owner::used(ctx.arg(0), TRANSMIT, ctx.arg(1))
        .and_then(|sock| Moved::at_tracepoint(sock, ctx.arg(1), TRANSMIT));
    if let Some(moved) = moved {
        datagram::sent(moved);
    }
    0
}

/// A process has received something, on kernels from 6.3.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
    let moved = owner::used(ctx.arg(0), RECEIVE, owner::received(ctx.arg(1), ctx.arg(2)))
        .and_then(|sock| Moved::at_tracepoint(sock, ctx.arg(1), RECEIVE));
    if let Some(moved) = moved {
        datagram::received(moved, ctx.arg(2));
    }
    0
}

/// A process has sent something, on older kernels.
#[fexit(function = "tcp_sendmsg")]
pub fn tcp_sendmsg(ctx: FExitContext) -> i32 {
    sent(&ctx)
}

/// A process has received something, on older kernels.
#[fexit(function = "tcp_recvmsg")]
pub fn tcp_recvmsg(ctx: FExitContext) -> i32 {
    received(&ctx)
}

/// The same by MPTCP.
#[fexit(function = "mptcp_sendmsg")]
pub fn mptcp_sendmsg(ctx: FExitContext) -> i32 {
    sent(&ctx)
}

/// The same by MPTCP.
#[fexit(function = "mptcp_recvmsg")]
pub fn mptcp_recvmsg(ctx: FExitContext) -> i32 {
    received(&ctx)
}

#[inline(always)]
fn sent(ctx: &FExitContext) -> i32 {
    owner::used(ctx.arg(0), TRANSMIT, call::sendmsg_result(ctx));
    0
}

#[inline(always)]
fn received(ctx: &FExitContext) -> i32 {
    let bytes = owner::received(call::recvmsg_result(ctx), call::recvmsg_flags(ctx));
    owner::used(ctx.arg(0), RECEIVE, bytes);
    0
}

/// A process has sent a datagram by a socket for IPv4.
#[fexit(function = "udp_sendmsg")]
pub fn udp_sendmsg(ctx: FExitContext) -> i32 {
    if let Some(moved) = moved(&ctx, call::sendmsg_result(&ctx), false) {
        datagram::sent(moved);
    }
    0
}

/// A process has sent a datagram by a socket for IPv6.
#[fexit(function = "udpv6_sendmsg")]
pub fn udpv6_sendmsg(ctx: FExitContext) -> i32 {
    if let Some(moved) = moved(&ctx, call::sendmsg_result(&ctx), true) {
        datagram::sent(moved);
    }
    0
}

/// A process has received a datagram by a socket for IPv4.
#[fexit(function = "udp_recvmsg")]
pub fn udp_recvmsg(ctx: FExitContext) -> i32 {
    if let Some(moved) = moved(&ctx, call::recvmsg_result(&ctx), false) {
        datagram::received(moved, call::recvmsg_flags(&ctx));
    }
    0
}

/// A process has received a datagram by a socket for IPv6.
#[fexit(function = "udpv6_recvmsg")]
pub fn udpv6_recvmsg(ctx: FExitContext) -> i32 {
    if let Some(moved) = moved(&ctx, call::recvmsg_result(&ctx), true) {
        datagram::received(moved, call::recvmsg_flags(&ctx));
    }
    0
}

/// What a function has done that sends or receives.
#[inline(always)]
fn moved(ctx: &FExitContext, result: i32, is_ipv6: bool) -> Option<Moved> {
    // SAFETY: the verifier knows the type of the argument.
    let message = unsafe { Message::from_ptr(ctx.arg(1)) };
    Moved::at_function(Sock::from_ptr(ctx.arg(0))?, result, message, is_ipv6)
}

/// A process has accepted a connection, if its second argument has a socket now.
#[fexit(function = "inet_accept")]
pub fn inet_accept(ctx: FExitContext) -> i32 {
    accepted(&ctx)
}

/// The same of a process that listens by MPTCP.
#[fexit(function = "mptcp_stream_accept")]
pub fn mptcp_stream_accept(ctx: FExitContext) -> i32 {
    accepted(&ctx)
}

#[inline(always)]
fn accepted(ctx: &FExitContext) -> i32 {
    // SAFETY: the verifier knows the type of the argument.
    if let Some(sock) = unsafe { Sock::from_socket(ctx.arg::<*const c_void>(1)) } {
        owner::accepted(sock);
    }
    0
}

#[btf_tracepoint(function = "tcp_receive_reset")]
pub fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    connection::reset(Sock::from_ptr(ctx.arg(0)), RECEIVE);
    0
}

/// The socket may be none, or not one any more.
#[btf_tracepoint(function = "tcp_send_reset")]
pub fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    connection::reset(Sock::from_ptr(ctx.arg(0)), TRANSMIT);
    0
}

#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    if let Some(sock) = Sock::from_ptr(ctx.arg(0)) {
        connection::retransmitted(sock);
    }
    0
}

/// The answer to a client's first segment is sent again: there is only the listener's socket yet.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub fn tcp_retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    if let (Some(listener), Some(request)) =
        (Sock::from_ptr(ctx.arg(0)), Sock::from_ptr(ctx.arg(1)))
    {
        connection::answered_again(listener, request);
    }
    0
}

/// Finds out who owns the sockets that were there before the hooks.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn adopt_sockets(ctx: &FileIter) -> i32 {
    if let Some((task, sock)) = ctx.socket() {
        owner::adopt_open_file(task, sock);
    }
    0
}
