//! The kernel's clocks as kernel programs read them.
//!
//! In a time namespace, as some container runtimes make one, a process reads clocks that are ahead of
//! these or behind: the offsets are taken off.

use std::{fs, sync::OnceLock, time::Duration};

/// The offsets of the clocks of this process, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offsets {
    monotonic_ns: i128,
    boottime_ns: i128,
}

impl Offsets {
    /// Those of the time namespace, which stay as they are while a process is in it.
    fn get() -> Self {
        static OFFSETS: OnceLock<Offsets> = OnceLock::new();
        *OFFSETS.get_or_init(|| {
            // Without the file there are no time namespaces.
            Self::parse(&fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default())
        })
    }

    /// Lines of a clock's name, seconds and nanoseconds.
    fn parse(text: &str) -> Self {
        let of = |clock: &str| {
            text.lines().find_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next()?;
                let mut number = || words.next()?.parse::<i128>().ok();
                (name == clock).then(|| Some(number()? * 1_000_000_000 + number()?))?
            })
        };
        Self {
            monotonic_ns: of("monotonic").unwrap_or_default(),
            boottime_ns: of("boottime").unwrap_or_default(),
        }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which kernel programs stamp events with.
pub fn monotonic_ns() -> u64 {
    host(read(libc::CLOCK_MONOTONIC), Offsets::get().monotonic_ns)
}

/// Time since the host was booted, suspended or not.
pub fn since_boot() -> Duration {
    Duration::from_nanos(host(read(libc::CLOCK_BOOTTIME), Offsets::get().boottime_ns))
}

/// How far the time since boot that this process reads, as in `/proc/uptime`, is ahead of the host's,
/// in seconds.
pub fn uptime_offset() -> f64 {
    Offsets::get().boottime_ns as f64 / 1e9
}

/// A reading of a clock of this process by the host's clock.
fn host(read_ns: i128, offset_ns: i128) -> u64 {
    (read_ns - offset_ns).try_into().unwrap_or_default()
}

fn read(clock: libc::clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library has neither of these clocks")]
    // SAFETY: the pointer is valid, and the clock always exists.
    unsafe {
        libc::clock_gettime(clock, &raw mut time);
    }
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_namespace() {
        let text = "monotonic      108000         5\nboottime          -7         0\n";
        let offsets = Offsets { monotonic_ns: 108_000_000_000_005, boottime_ns: -7_000_000_000 };
        assert_eq!(Offsets::parse(text), offsets);
        assert_eq!(Offsets::parse(""), Offsets::default());
        assert_eq!(host(108_000_000_000_006, offsets.monotonic_ns), 1);
    }
}
