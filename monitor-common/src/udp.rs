//! Maps of the `tcp` probe for what is sent and received by UDP, and for questions of names.

use crate::{
    hist::COARSE_SLOTS,
    tcp::{DIRECTIONS, LATENCIES},
};

/// The port of servers that answer questions of names.
pub const DNS_PORT: u16 = 53;

/// The place of the time that an answer takes, among slow latencies: behind those of connections.
pub const NAMES: usize = LATENCIES;

/// How many questions of one socket can be open. A power of two.
pub const OPEN_QUESTIONS: usize = 16;

/// How many combinations there are of a direction and a family of sockets.
pub const PLACES: usize = 2 * DIRECTIONS;

/// The place of a direction and a family of sockets among all.
pub const fn place(direction: usize, is_ipv6: bool) -> u32 {
    (2 * direction + is_ipv6 as usize) as u32
}

/// What a socket carries that asks: the questions it asked last.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Questions {
    /// How many it asked; the place of the next in the list, taken modulo its length.
    pub asked: u64,
    /// The oldest is overwritten by the next: it is one that was not answered.
    pub list: [Question; OPEN_QUESTIONS],
}

/// A question.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// When it had been sent, in monotonic nanoseconds; 0 once it is answered.
    pub stamp: u64,
    /// The server's address, as in [`crate::tcp::ServiceKey`].
    pub server: [u32; 4],
}

/// What a process sent, received and asked in a tick.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Datagrams {
    /// Bytes by direction.
    pub bytes: [u64; DIRECTIONS],
    /// Datagrams by direction.
    pub datagrams: [u64; DIRECTIONS],
    /// Its questions.
    pub answers: Answers,
}

/// Questions of a tick, those of a process or those to a server, and their answers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// Questions asked.
    pub questions: u64,
    /// How long the answers took by slot, see [`crate::hist::coarse`].
    pub slots: [u32; COARSE_SLOTS],
    /// The exact sum, in nanoseconds.
    pub sum_ns: u64,
}

impl Answers {
    /// Nothing was asked, and nothing answered.
    pub const EMPTY: Self = Self { questions: 0, slots: [0; COARSE_SLOTS], sum_ns: 0 };
}

impl Datagrams {
    /// Nothing happened.
    pub const EMPTY: Self =
        Self { bytes: [0; DIRECTIONS], datagrams: [0; DIRECTIONS], answers: Answers::EMPTY };
}

crate::pod!(Answers, Datagrams);

/// What the storage of a socket that asks takes in the kernel, see [`crate::tcp::CONNECTION_BYTES`].
pub const QUESTIONS_BYTES: u64 = (size_of::<Questions>() as u64 + 72).next_power_of_two();

const _: () = assert!(OPEN_QUESTIONS.is_power_of_two());
const _: () = assert!(size_of::<Questions>() == 8 + OPEN_QUESTIONS * 24);
const _: () = assert!(QUESTIONS_BYTES == 512);
const _: () = assert!(size_of::<Answers>() == 16 + 4 * COARSE_SLOTS);
const _: () = assert!(size_of::<Datagrams>() == 16 * DIRECTIONS + size_of::<Answers>());
