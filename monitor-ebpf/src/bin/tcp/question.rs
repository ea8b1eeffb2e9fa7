//! Questions of names: datagrams to the port that name servers have, and what comes back.
//!
//! Which question is answered stands in the datagram, which is not to be seen here. It is taken for the
//! newest that is open: then a lost one does not shift those that come after it, and where several are
//! open, the sum of their latencies is right once all are answered, and so is their number.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use monitor_common::{
    hist,
    tcp::{CLIENT, Loss, ServiceKey},
    udp::{Answers, DNS_PORT, Datagrams, NAMES, OPEN_QUESTIONS, Question, Questions},
};
use monitor_ebpf::{
    atomic, histogram,
    kernel::{Endpoint, Message, Sock, Task},
    slow::{self, Measured},
    table,
};

use crate::{EVENTS, QUESTIONS, SERVERS, record::lost};

/// The first value of an entry.
static NOTHING: Answers = Answers::EMPTY;

/// The bit that makes a question of one server newer than all of others; no clock comes that far.
const OF_SERVER: u64 = 1 << 63;

/// A process has asked a server.
#[inline(always)]
pub fn asked(sock: Sock, server: Endpoint, process: Option<*mut Datagrams>, bank: usize) {
    for answers in entries(process, server.address, bank).into_iter().flatten() {
        // SAFETY: a map value, 8-byte aligned.
        unsafe { atomic::add(&raw mut (*answers).questions, 1) };
    }
    let Some(questions) = QUESTIONS.get_or_create(sock) else {
        return lost(bank, Loss::NoStorage);
    };
    let questions = questions.as_ptr();
    // SAFETY: the socket's storage. Of two threads that ask at once by one socket, one question may
    // take the place of the other, which is then never answered.
    unsafe {
        let place = (*questions).asked as usize % OPEN_QUESTIONS;
        (*questions).asked += 1;
        let question = &raw mut (*questions).list[place];
        (*question).server = server.address;
        (*question).stamp = bpf_ktime_get_ns();
    }
}

/// A process has received something by a socket that may have asked.
#[inline(always)]
pub fn answered(
    sock: Sock,
    message: Option<Message>,
    process: Option<*mut Datagrams>,
    bank: usize,
) {
    // Of a socket that is connected, that is enough to know for most that they never ask.
    let remote = sock.remote_port();
    if remote != DNS_PORT && remote != 0 {
        return;
    }
    let Some(questions) = QUESTIONS.get(sock) else { return };
    let from = message.and_then(Message::endpoint);
    if from.is_some_and(|from| from.port != DNS_PORT) {
        return;
    }
    // SAFETY: the socket's storage.
    let Some(question) = (unsafe { newest(questions.as_ptr(), from) }) else { return };
    // SAFETY: in the socket's storage, 8-byte aligned.
    let (stamp, server) = unsafe { ((*question).stamp, (*question).server) };
    // SAFETY: as above. Another thread may have received an answer as well: it is only one's.
    let was = unsafe { atomic::compare_exchange(&raw mut (*question).stamp, stamp, 0) };
    if stamp == 0 || was != stamp {
        return;
    }
    // SAFETY: programs have no other clock.
    let ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(stamp);
    let Some(slot) = histogram::slot_of(ns) else { return lost(bank, Loss::Implausible) };
    let slot = hist::coarse(slot);
    let measured = Measured { latency: NAMES, ns, ended: stamp + ns };
    if slow::is_slow(ns) && !slow::tell_of(&EVENTS, Task::current(), measured, service(server)) {
        lost(bank, Loss::RingFull);
    }
    for answers in entries(process, server, bank).into_iter().flatten() {
        // SAFETY: a map value, 8-byte aligned, and the sum comes behind the slots.
        unsafe {
            histogram::add_shared(&raw mut (*answers).sum_ns, &raw mut (*answers).slots, slot, ns);
        }
    }
}

/// The newest question that is open, of those to the server that an answer is from. When nothing was
/// asked of that server, somebody on the way has changed the address, and any may be meant.
///
/// # Safety
/// `questions` is a socket's storage.
#[inline(always)]
unsafe fn newest(questions: *mut Questions, from: Option<Endpoint>) -> Option<*mut Question> {
    let (mut newest, mut found) = (0, 0);
    for place in 0..OPEN_QUESTIONS {
        // SAFETY: by the caller's promise.
        let Question { stamp, server } = unsafe { (*questions).list[place] };
        let of_server = from.is_none_or(|from| from.address == server);
        let rank = if of_server { stamp | OF_SERVER } else { stamp };
        if rank > newest {
            (newest, found) = (rank, place);
        }
    }
    if newest & !OF_SERVER == 0 {
        return None;
    }
    // SAFETY: as above.
    Some(unsafe { &raw mut (*questions).list[found % OPEN_QUESTIONS] })
}

/// A server as a service.
#[inline(always)]
fn service(address: [u32; 4]) -> ServiceKey {
    ServiceKey { address, port: DNS_PORT, side: CLIENT as u16, bank: 0, unused: 0 }
}

/// Where questions and answers are added to: the process's, and the server's.
#[inline(always)]
fn entries(
    process: Option<*mut Datagrams>,
    server: [u32; 4],
    bank: usize,
) -> [Option<*mut Answers>; 2] {
    let key = ServiceKey { bank: bank as u16, ..service(server) };
    let server = table::entry(&SERVERS, &key, &NOTHING, || {
        lost(bank, Loss::ServicesFull);
        ServiceKey::other(bank as u16)
    });
    // SAFETY: a map value.
    [process.map(|process| unsafe { &raw mut (*process).answers }), server]
}
